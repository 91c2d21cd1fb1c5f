"""`python -m bench`. Nothing is imported unless it is run: every process that is spawned imports this module again."""

if __name__ == "__main__":
    from bench.command import main

    main()

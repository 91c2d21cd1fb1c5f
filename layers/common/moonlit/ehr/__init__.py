"""The EHRs: what is asked of them, and each vendor's adapter."""

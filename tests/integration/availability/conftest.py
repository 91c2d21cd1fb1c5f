import pytest

from moonlit.db.engine import Begin
from tests.integration.availability.practice import Practice


@pytest.fixture
def practice(begin: Begin) -> Practice:
    return Practice.opened(begin)

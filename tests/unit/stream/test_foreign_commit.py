from __future__ import annotations

from tokentide.stream.foreign_commit import ForeignCommitWatch


def watch() -> ForeignCommitWatch[str]:
    return ForeignCommitWatch(10.0)


def test_a_commit_past_the_end_for_long_is_foreign() -> None:
    commits = watch()
    assert commits.foreign(0.0, {"a": 9, "b": 3}, {"a": 5, "b": 3}) == []
    assert commits.foreign(9.9, {"a": 9, "b": 3}, {"a": 6, "b": 3}) == []
    assert commits.foreign(10.0, {"a": 9, "b": 3}, {"a": 6, "b": 3}) == ["a"]


def test_an_end_that_catches_up_was_only_not_known_yet() -> None:
    commits = watch()
    commits.foreign(0.0, {"a": 9}, {"a": 5})
    assert commits.foreign(9.0, {"a": 9}, {"a": 9}) == []
    assert commits.foreign(11.0, {"a": 9}, {"a": 5}) == []
    assert commits.foreign(21.0, {"a": 9}, {"a": 5}) == ["a"]


def test_an_unknown_end_says_nothing() -> None:
    commits = watch()
    assert commits.foreign(0.0, {"a": 9, "b": 9}, {"a": None}) == []
    assert commits.foreign(99.0, {"a": 9, "b": 9}, {"a": None}) == []

"""Which partials count. The sums are what all changes together come to."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tests.support.partials import START, Partial, decoded
from tokentide.stream.detect.identities import Identities
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.rows import partial_rows

ONE = Partial(0, Counts(10), version=100)


class Sums:
    """Calls by minute and model, from the changes alone."""

    def __init__(self) -> None:
        self.identities = Identities()
        self.calls = Counter[tuple[int, str]]()

    def take(self, *partials: Partial) -> dict[tuple[int, str], int]:
        change = self.identities.take(partial_rows([decoded(partials)]))
        names = self.identities.series_names
        for series, minute, values in zip(change.series, change.minute, change.values, strict=True):
            self.calls[int(minute) - START, names[series][3]] += int(values[0])
        return {key: calls for key, calls in self.calls.items() if calls}


def test_a_newer_version_replaces_an_older_one():
    sums = Sums()
    assert sums.take(ONE) == {(0, "gpt-4o"): 10}
    assert sums.take(ONE.but(version=101, counts=Counts(12))) == {(0, "gpt-4o"): 12}


def test_an_older_or_equal_version_changes_nothing():
    sums = Sums()
    sums.take(ONE)
    assert sums.take(ONE, ONE.but(version=99, counts=Counts(9))) == {(0, "gpt-4o"): 10}


def test_of_several_versions_in_one_batch_the_highest_counts():
    versions = [ONE.but(version=version, counts=Counts(version)) for version in (5, 9, 7)]
    assert Sums().take(*versions) == {(0, "gpt-4o"): 9}


def test_partitions_segments_first_offsets_sources_minutes_and_series_are_added():
    others = [
        ONE.but(partition=1),
        ONE.but(segment=1, first_offset=65_536),
        ONE.but(first_offset=70),
        ONE.but(source="llm.events:B"),
        ONE.but(minute=1),
        ONE.but(series={"model": "gpt-4"}),
    ]
    assert Sums().take(ONE, *others) == {(0, "gpt-4o"): 50, (1, "gpt-4o"): 10, (0, "gpt-4"): 10}


def test_a_new_fold_takes_the_place_of_the_old_one_with_all_its_series():
    sums = Sums()
    sums.take(ONE, ONE.but(minute=1))
    refolded = ONE.but(fold=12, version=101, series={"model": "gpt-4o-2024"})
    assert sums.take(refolded) == {(0, "gpt-4o-2024"): 10}


def test_a_new_fold_that_is_not_as_far_yet_does_not_count():
    sums = Sums()
    sums.take(ONE)
    assert sums.take(ONE.but(fold=12, version=60, counts=Counts(6))) == {(0, "gpt-4o"): 10}
    assert sums.take(ONE.but(minute=3, fold=12, version=101)) == {(0, "gpt-4o"): 6, (3, "gpt-4o"): 10}


def test_of_two_folds_with_equal_versions_the_later_record_counts():
    sums = Sums()
    sums.take(ONE)
    assert sums.take(ONE.but(fold=12, counts=Counts(6))) == {(0, "gpt-4o"): 6}
    assert Sums().take(ONE, ONE.but(fold=12, counts=Counts(6))) == {(0, "gpt-4o"): 6}
    assert Sums().take(ONE, ONE.but(fold=12, counts=Counts(6)), ONE) == {(0, "gpt-4o"): 10}


def test_folds_of_other_segments_and_partitions_stay():
    sums = Sums()
    sums.take(ONE, ONE.but(partition=1), ONE.but(segment=1, first_offset=65_536, version=65_600))
    assert sums.take(ONE.but(fold=12, version=101, counts=Counts(1))) == {(0, "gpt-4o"): 21}


def test_a_zombie_with_an_old_fold_is_kept_out():
    sums = Sums()
    sums.take(ONE, ONE.but(fold=12, version=200, counts=Counts(20)))
    assert sums.take(ONE.but(version=150, counts=Counts(15))) == {(0, "gpt-4o"): 20}


def test_forgotten_rows_are_gone_and_the_others_found_again_after_renumbering():
    sums = Sums()
    kept = [
        ONE.but(minute=minute, series={"model": f"m{minute}"}, segment=minute % 3) for minute in range(50, 90)
    ]
    sums.take(*[ONE.but(minute=minute, series={"model": f"old{minute}"}) for minute in range(50)], *kept)
    identities = sums.identities
    floors = np.full(identities.series_count, START + 50)
    assert identities.count(floors) == 40
    identities.keep(floors)
    assert len(identities) == 40
    assert identities.series_count == 40
    before = dict(sums.calls)
    sums.take(*kept)
    assert dict(sums.calls) == before
    sums.take(kept[7].but(version=101, counts=Counts(11)))
    assert sums.calls[57, "m57"] == 11


def test_a_fold_is_still_in_force_after_renumbering():
    sums = Sums()
    sums.take(ONE.but(minute=-100, partition=3), ONE, ONE.but(fold=12, version=200, counts=Counts(20)))
    sums.identities.keep(np.full(sums.identities.series_count, START))
    assert sums.take(ONE.but(version=150, counts=Counts(15)))[0, "gpt-4o"] == 20
    assert sums.take(ONE.but(fold=13, version=201, counts=Counts(1)))[0, "gpt-4o"] == 1


def test_many_rows_are_found_across_merges():
    sums = Sums()
    for start in range(0, 60_000, 6_000):
        rows = partial_rows([decoded([ONE])])
        minutes = np.arange(start, start + 6_000) * 7_919 % 60_000
        many = rows._replace(
            fold=np.zeros(6_000, np.int64), series=np.zeros(6_000, np.int64), minute=minutes,
            version=np.full(6_000, 100), values=np.repeat(rows.values, 6_000, axis=0),
        )  # fmt: skip
        assert sums.identities.take(many).values[:, 0].sum() == 60_000
        assert not len(sums.identities.take(many).minute)
    assert len(sums.identities) == 60_000

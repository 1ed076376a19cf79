"""Events to absolute partial windows: exact integers, the same for any batching or order of batches.

`segment.SegmentFold` holds everything that is known of one segment of one source partition. It is a pure
function of the log between the segment's first offset and the offset read so far: no clock, no randomness
in any result, no I/O.
"""

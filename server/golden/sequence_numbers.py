"""Writes sequence_numbers.txt: sequence numbers of Kinesis, made from the description of their
digits alone. A line holds: second in which the shard was made, its index, number in the shard,
second of arrival, text.

    python3 sequence_numbers.py > sequence_numbers.txt
"""

import random


def text(created_s, shard, number, arrival_s):
    digits = "".join(
        [
            "2",
            format(created_s, "09x"),
            format(shard, "x")[-1],
            format(number, "016x"),
            "00",
            format(arrival_s, "09x"),
            format(shard, "08x"),
            "2",
        ]
    )
    assert len(digits) == 47, digits
    return str(int(digits, 16))


LAST = 2**63 - 1
cases = [
    (0, 0, 0, 0),
    (1, 0, 1, 1),
    (1416372130, 0, 0, 1416372130),
    (1700000000, 0, 1, 1700000001),
    (1700000000, 0, 2, 1700000001),
    (1700000000, 15, 2**16 - 1, 1700000001),
    (1700000000, 16, 2**16, 1700000001),
    (1700000000, 255, 2**48 - 1, 1700000001),
    (1700000000, 9999, 2**48, 1700000001),
    (1700000000, 3, LAST, 1700086400),
    (1732400000, 2**31 - 1, LAST - 1, 1732486400),
    (2**28 - 1, 7, 7, 2**28),
    (2**36 - 1, 2**31 - 1, LAST, 2**36 - 1),
]
source = random.Random(1)
for _ in range(30):
    created_s = source.randrange(1_500_000_000, 2_000_000_000)
    cases.append(
        (
            created_s,
            source.randrange(0, 10_000),
            source.randrange(0, 2 ** source.randrange(1, 63)),
            created_s + source.randrange(0, 31_536_000),
        )
    )
print("# By sequence_numbers.py: shard created (s), shard, number, arrival (s), text")
for case in cases:
    digits = text(*case)
    print(*case, digits)

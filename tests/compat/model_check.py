#!/usr/bin/env python3
"""Holds the server's API model against the public one.

The public model is a file of botocore. This script takes from it what a server has to know of the
inputs of the operations that are built: members, which of them are required, types, bounds,
patterns and enumerations. What it takes is checked in beside the server's own model, where a test
compares the two member by member.

    pip install botocore
    model_check.py            says whether botocore's model is still the one that is checked in
    model_check.py --write    checks in the model of this botocore
"""

import gzip
import json
import pathlib
import sys

import botocore

MODEL = "data/kinesis/2013-12-02/service-2.json.gz"
FACTS = pathlib.Path(__file__).parents[2] / "server/src/kinesis/model/facts.json"
# Operations with queues and channels are not built.
NOT_BUILT = ("Queue", "Channel")


def facts():
    file = pathlib.Path(botocore.__file__).parent / MODEL
    model = json.loads(gzip.decompress(file.read_bytes()))
    shapes = {}

    def fact(name):
        shape = model["shapes"][name]
        if name in shapes:
            return name
        shapes[name] = found = {"type": shape["type"]}
        for key in ("min", "max", "pattern", "enum"):
            if key in shape:
                found[key] = shape[key]
        for key in ("member", "key", "value"):
            if key in shape:
                found[key] = fact(shape[key]["shape"])
        if shape["type"] == "structure":
            found["members"] = {n: fact(m["shape"]) for n, m in shape["members"].items()}
            found["required"] = shape.get("required", [])
        return name

    operations = {
        name: fact(operation["input"]["shape"])
        for name, operation in sorted(model["operations"].items())
        if not any(part in name for part in NOT_BUILT)
    }
    return {"operations": operations, "shapes": shapes}


def main():
    found = json.dumps(facts(), separators=(",", ":"), sort_keys=True)
    # One line for each shape: changes are to be read.
    found = found.replace('},"', '},\n"') + "\n"
    if sys.argv[1:] == ["--write"]:
        FACTS.write_text(found)
    elif FACTS.read_text() != found:
        sys.exit(f"the model of botocore {botocore.__version__} is not that of {FACTS}")
    else:
        print(f"the model is that of botocore {botocore.__version__}")


if __name__ == "__main__":
    main()

"""DKIM key records as dkimpy reads them: standard input is an array of texts; for each one {"bits"} or {"why"}."""

import json
import sys

from dkim import KeyFormatError, evaluate_pk


def read(text):
    try:
        return {"bits": evaluate_pk("key", text)[1]}
    # Broken base64 is none of the errors it foresees.
    except (KeyFormatError, ValueError, IndexError) as error:
        return {"why": str(error)}


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)

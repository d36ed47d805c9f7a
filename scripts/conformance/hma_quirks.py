"""Where HMA is wrong, and both ways to answer: what HMA does, what Nightlight does by default, and what it does when asked for `hma_strict=1`.

A quirk observes something (a status, a value) and says what each of the three is expected to be. What Nightlight does not repeat even then
(answers of status 500, leaks between banks) has the same expectation in both its ways.
"""
import math
import os
import random
import struct
import tempfile
import time
import zlib

import hma
from hma import SPECIMEN, equal, fill, md5, random_pdq, sample, status

QUIRKS = []


class Quirk:
    """One observation and what it should be of each server and way."""

    def __init__(self, function, hma, default, strict, fetches):
        self.name, self.observe = function.__name__.replace("_", " "), function
        self.expected, self.fetches = {"hma": hma, "default": default, "strict": strict}, fetches

    def hold(self, api, way):
        equal(self.observe(api), self.expected[way], "observed")


def quirk(*, hma, default, strict=None, fetches=False):
    """Lists a function as a quirk. Without `strict` Nightlight answers alike both ways."""
    def add(function):
        QUIRKS.append(Quirk(function, hma, default, default if strict is None else strict, fetches))
        return function
    return add


def kind(answer):
    """What an answer looks like to a client: status, and `message`, `list`, `html`, `json` or `text` for its body."""
    if answer.type == "text/html":
        return answer.status, "html"
    if answer.type != "application/json":
        return answer.status, "text"
    try:
        value = answer.json
    except ValueError:
        return answer.status, "text"
    shape = "list" if isinstance(value, list) else "message" if isinstance(value, dict) and list(value) == ["message"] else "json"
    return answer.status, shape


def png(width, color, depth, rows, palette=b""):
    """A PNG of these rows of bytes; `color` 0 is grey, 2 RGB, 3 a palette."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) if data or name == b"IEND" else b""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", palette) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
            + chunk(b"IEND", b""))


def grey():
    """A picture without features: its PDQ hash has quality 0."""
    return png(64, 0, 8, [b"\x80" * 64] * 64)


def waves(side=128):
    """Rows of luminance with enough features for a PDQ hash of quality 100."""
    def level(x, y):
        return math.sin(x / 9 + y / 17) + math.sin(x * y / 900) + math.sin(y / 5 - x / 23) + (1 if (x - 40) ** 2 + (y - 70) ** 2 < 700 else 0)
    return [bytes(int(127 + 30 * level(x, y)) for x in range(side)) for y in range(side)]


def oriented(jpeg, orientation=6):
    """The JPEG with an EXIF orientation: the same pixels, to be shown turned."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HHI", orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


# Lookups

@quirk(hma="-", default="0", strict="-")
def distance_of_exact_types(api):
    bank, digest = api.bank(), md5(random_pdq().encode())
    api.signal(bank, video_md5=digest)
    query = {"signal_type": "video_md5", "signal": digest}
    api.until("added", lambda: bank in api.get("/m/lookup", **query).json)
    return api.get("/m/lookup", **query).json[bank][0]["distance"]


@quirk(hma=False, default=True, strict=False)
def bypass_coinflip_of_a_get_is_honoured(api):
    bank, pdq = api.bank(), random_pdq()
    api.signal(bank, pdq=pdq)
    api.until("added", lambda: bank in api.lookup(pdq))
    api.put(f"/c/bank/{bank}", {"enabled": False})
    api.until("switched off", lambda: api.lookup(pdq) == {})
    return bank in api.lookup(pdq, bypass_coinflip="true")


@quirk(hma=(400, 400), default=(200, 200), strict=(400, 400))
def pdq_in_upper_case_is_taken(api):
    return (api.get("/m/lookup", signal_type="pdq", signal=SPECIMEN.upper()).status,
            api.post(f"/c/bank/{api.bank()}/signal", {"pdq": SPECIMEN.upper()}).status)


@quirk(hma=200, default=200)
def md5_in_upper_case_is_taken(api):
    return api.get("/m/lookup", signal_type="video_md5", signal=md5(b"x").upper()).status


@quirk(hma={}, default={"found": "0"})
def lone_hash_of_an_index_is_found(api):
    """HMA's issue 1318: serialising an index in which every hash shares its chunks with a power of two of hashes, 1 included, loses them all."""
    api.delete("/c/bank/T_FILLER")
    bank, pdq = api.bank(), random_pdq()
    api.signal(bank, pdq=pdq)
    try:
        api.until("index in step", lambda: api.get("/c/signal_type/index", signal_type="pdq").json["pdq"]["index_out_of_date"] is False)
        time.sleep(min(api.settle, 3))
        return {"found": match["distance"] for match in api.lookup(pdq).get(bank, [])}
    finally:
        fill(api)


@quirk(hma=(400, 400), default=(200, 200), strict=(400, 400))
def featureless_picture_matches_nothing_instead_of_being_refused(api):
    bank = api.bank()
    added = api.upload(f"/c/bank/{bank}/content", [("photo", grey())])
    looked = api.upload("/m/lookup", [("photo", grey())], banks=bank)
    if looked.status == 200:
        equal(looked.json, {"pdq": {}})
    return looked.status, 200 if added.status == 400 and looked.status == 200 else added.status


@quirk(hma={"pdq": ""}, default={"pdq": ""})
def hash_of_a_featureless_picture(api):
    return status(api.upload("/h/hash", [("photo", grey())]), 200).json


@quirk(hma=False, default=True)
def hash_follows_the_exif_orientation(api):
    """A picture that its header turns has another hash than the pixels as they lie; HMA ignores the header."""
    plain, turned = (api.upload("/h/hash", [("photo", oriented(sample("known.jpg"), way))]).json["pdq"] for way in (1, 6))
    equal(plain, api.upload("/h/hash", [("photo", sample("known.jpg"))]).json["pdq"])
    return plain != turned


@quirk(hma=(True, False, False), default=(True, True, True))
def hashes_of_grey_palette_and_16_bit_pictures_are_those_of_the_same_rgb(api):
    rows = waves()
    # The palette is shuffled, so that its indices say nothing of the colours.
    order = list(range(256))
    random.Random(1).shuffle(order)
    place = bytes(order.index(level) for level in range(256))
    pictures = [png(128, 2, 8, [bytes(level for level in row for _ in range(3)) for row in rows]), png(128, 0, 8, rows),
                png(128, 3, 8, [row.translate(place) for row in rows], b"".join(bytes([level] * 3) for level in order)),
                png(128, 0, 16, [bytes(half for level in row for half in (level, level)) for row in rows])]
    rgb, *others = (status(api.upload("/h/hash", [("photo", picture)]), 200).json["pdq"] for picture in pictures)
    assert rgb, "the picture has too few features"
    # Grey is luminance already; of RGB it is computed, which rounds.
    return tuple(other != "" and (int(rgb, 16) ^ int(other, 16)).bit_count() <= 2 for other in others)


# Errors

@quirk(hma=[(422, "list")] * 4, default=[(400, "message")] * 4, strict=[(422, "list")] * 4)
def missing_parameters(api):
    return [kind(answer) for answer in [api.get("/m/raw_lookup", signal_type="pdq"), api.get("/m/raw_lookup", signal=SPECIMEN), api.get("/h/hash"),
                                        api.post("/c/banks", {})]]


@quirk(hma=[(422, "list")] * 2, default=[(400, "message")] * 2, strict=[(422, "list")] * 2)
def booleans_that_are_none(api):
    query = {"signal_type": "pdq", "signal": SPECIMEN}
    return [kind(api.get("/m/raw_lookup", include_distance="maybe", **query)), kind(api.get("/m/lookup", bypass_coinflip="maybe", **query))]


@quirk(hma=[(404, "html"), (404, "html"), (405, "html")], default=[(404, "message"), (404, "message"), (405, "message")])
def unknown_paths_and_verbs(api):
    return [kind(api.get("/m/nothing")), kind(api.get("/c/bank")), kind(api.get("/m/compare"))]


@quirk(hma=[500] * 3, default=[400, 200, 400], strict=[400] * 3)
def uploads_that_are_no_picture(api):
    """What is of no type that is decoded is known by its digests; what is damaged has no hash."""
    return [api.upload("/h/hash", [("photo", data)]).status for data in [b"", b"no picture", sample("known.jpg")[:40]]]


@quirk(hma=[500] * 3, default=[200, 200, 400], strict=[400] * 3)
def content_and_lookups_of_what_is_no_picture(api):
    path = f"/c/bank/{api.bank()}/content"
    return [api.upload(path, [("photo", b"no picture")]).status, api.upload("/m/lookup", [("photo", b"no picture")]).status,
            api.upload(path, [("photo", sample("known.jpg")[:40])]).status]


@quirk(hma=500, default=400)
def bank_name_of_300_letters(api):
    return api.post("/c/banks", {"name": "T" * 300}).status


@quirk(hma=500, default=400)
def disable_until_null(api):
    bank = api.bank()
    return api.put(f"/c/bank/{bank}/content/{api.signal(bank, pdq=random_pdq())}", {"disable_until_ts": None}).status


@quirk(hma=500, default=400)
def signals_as_a_list(api):
    return api.post(f"/c/bank/{api.bank()}/signal", [SPECIMEN]).status


@quirk(hma=500, default=200)
def compare_of_exact_types(api):
    answer = api.post("/m/compare", {"video_md5": [md5(b"x"), md5(b"x")]})
    if answer.status == 200:
        equal(answer.json["video_md5"][0], True)
        equal(api.post("/m/compare", {"video_md5": [md5(b"x"), md5(b"y")]}).json["video_md5"][0], False)
    return answer.status


# Banks and content

@quirk(hma=1.0, default=0.0, strict=1.0)
def bank_created_off(api):
    return api.get(f"/c/bank/{api.bank(enabled=False)}").json["matching_enabled_ratio"]


@quirk(hma=(201, 201), default=(400, 400))
def ratios_outside_0_and_1(api):
    return tuple(api.post("/c/banks", {"name": f"T_RATIO_{i}", "enabled_ratio": ratio}).status for i, ratio in enumerate([5, -1]))


@quirk(hma=(200, 200, {"deleted": 1}), default=(404, 404, None))
def content_of_another_bank(api):
    """Shown, changed and deleted through a bank that it is not in."""
    one, two = api.bank(), api.bank()
    path = f"/c/bank/{one}/content/{api.signal(two, pdq=random_pdq())}"
    shown, changed, deleted = api.get(path), api.put(path, {"note": "x"}), api.delete(path)
    return shown.status, changed.status, deleted.json if deleted.json.get("deleted") else None


@quirk(hma=500, default=204)
def signal_type_is_changed(api):
    return api.put("/c/signal_type/video_md5", {"enabled_ratio": 1.0}).status


@quirk(hma=500, default=400)
def signal_type_that_is_not_there_is_changed(api):
    answer = api.put("/c/signal_type/banana", {"enabled_ratio": 1.0}).status
    return 400 if answer == 404 else answer


@quirk(hma=200, default=200)
def status_of_added_content_and_signals(api):
    """HMA's document says 201; its clients see 200."""
    bank = api.bank()
    equal(api.upload(f"/c/bank/{bank}/content", [("video", b"x")]).status, 200)
    return api.post(f"/c/bank/{bank}/signal", {"pdq": random_pdq()}).status


# Exchanges

@quirk(hma=500, default=403)
def exchange_of_a_name_that_is_taken(api):
    body = {"api": "sample", "bank": "T_TWICE", "api_json": {"enabled": False}}
    status(api.post("/c/exchanges", body), 201)
    answer = api.post("/c/exchanges", body).status
    return 403 if answer == 409 else answer


@quirk(hma="nameapienabled", default={"name": "T_PUT", "api": "sample", "enabled": False}, strict="nameapienabled")
def exchange_answers_a_change_with_itself(api):
    status(api.post("/c/exchanges", {"api": "sample", "bank": "T_PUT", "api_json": {"enabled": False}}), 201)
    answer = status(api.put("/c/exchange/T_PUT", {"enabled": False}), 200)
    try:
        return {name: value for name, value in answer.json.items() if name in ("name", "api", "enabled")}
    except ValueError:
        return answer.body.decode()


@quirk(hma=201, default=400, strict=201)
def exchange_with_a_setting_that_its_api_does_not_know(api):
    return api.post("/c/exchanges", {"api": "sample", "bank": "T_EXTRA", "api_json": {"enabled": False, "banana": 1}}).status


@quirk(hma=2, default=1)
def signal_that_leaves_its_exchange_stays_with_other_content(api):
    """Of two contents with one signal, the exchange's and somebody's own, the file no longer names the first. HMA forgets nothing that was in a file (`LocalFileSignalExchangeAPI.fetch_iter`
    yields no deletions); here it is withdrawn, and the other still matches."""
    one, two = random_pdq(), random_pdq()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "signals.txt")
        with open(path, "w") as file:
            file.write(f"pdq {one}\n")
        status(api.post("/c/exchanges", {"api": "local_file", "bank": "T_LEAVES", "api_json": {"filename": path}}), 201)
        api.until("fetched", lambda: len(api.lookup(one).get("T_LEAVES", [])) == 1)
        own = api.signal("T_LEAVES", pdq=one)
        api.until("added", lambda: len(api.lookup(one).get("T_LEAVES", [])) == 2)
        with open(path, "w") as file:
            file.write(f"pdq {two}\n")
        api.until("fetched again", lambda: "T_LEAVES" in api.lookup(two))
        found = [match["bank_content_id"] for match in api.lookup(one)["T_LEAVES"]]
        assert own in found, f"{own} is not in {found}"
        return len(found)


# Fetching

@quirk(hma=500, default=400, fetches=True)
def url_that_answers_without_a_content_type(api):
    return api.get("/h/hash", url=f"{hma.CONTENT.base}/bare/known.jpg").status

"""Checks that HMA and Nightlight pass alike: hashing, lookups, the coin, comparison, types and indices.

After HMA's tests (`OpenMediaMatch/tests/test_api.py`, `test_match_api.py`, `test_hashing.py`, `test_e2e_workflow.py`) and, where those stop, its
blueprints.
"""
import random
import time

import hma
from hma import SPECIMEN, SPECIMEN_EDIT, UNRELATED, check, equal, flip, md5, message, random_pdq, sample, status


# Hashing

@check
def photo_has_a_pdq_hash_and_a_video_an_md5(api):
    pdq = status(api.upload("/h/hash", [("photo", sample("known.jpg"))]), 200).json
    assert list(pdq) == ["pdq"] and len(pdq["pdq"]) == 64 and pdq["pdq"] == pdq["pdq"].lower(), pdq
    equal(status(api.upload("/h/hash", [("video", sample("known.jpg"))]), 200).json, {"video_md5": md5(sample("known.jpg"))})
    equal(status(api.upload("/h/hash", [("photo", sample("known.jpg"))], types="pdq"), 200).json, pdq)
    equal(status(api.upload("/h/hash", [("photo", sample("known.jpg"))], types=" pdq,"), 200).json, pdq)


@check
def hashes_of_formats_are_near_each_other(api):
    hashes = [api.upload("/h/hash", [("photo", sample(name))]).json["pdq"] for name in ["known.jpg", "known-resized.webp"]]
    distance = (int(hashes[0], 16) ^ int(hashes[1], 16)).bit_count()
    assert distance <= 31, f"the same picture in another size and format is {distance} bits away"


@check
def hash_without_one_file_of_a_known_type_is_a_400(api):
    photo = sample("known.jpg")
    message(api.call("POST", "/h/hash"), 400)
    message(api.upload("/h/hash", [], [("other", "text")]), 400)
    for files in [[("file", photo)], [("photo", photo), ("photo", photo)], [("photo", photo), ("video", photo)]]:
        message(api.upload("/h/hash", files), 400)
    for types in ["video_md5", "banana", ",", ""]:
        message(api.upload("/h/hash?types=" + types, [("photo", photo)]), 400)


@check
def urls_that_are_none_are_a_400(api):
    for url in ["ftp://example.com", "file:///etc/passwd", "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "ws://example.com",
                "example.com", "//example.com", "http://", "https://", "not a url", "http:///example.com", "http://example.com:abc"]:
        message(api.get("/h/hash", url=url), 400)
        message(api.get("/m/lookup", url=url), 400)


@check(fetches=True)
def hash_of_a_url(api):
    known = api.upload("/h/hash", [("photo", sample("known.jpg"))]).json
    equal(status(api.get("/h/hash", url=f"{hma.CONTENT.base}/known.jpg"), 200).json, known)
    equal(status(api.get("/h/hash", url=f"{hma.CONTENT.base}/known.jpg", content_type="video"), 200).json, {"video_md5": md5(sample("known.jpg"))})
    equal(status(api.get("/h/hash", url=f"{hma.CONTENT.base}/to?{hma.CONTENT.base}/known.jpg", types="pdq"), 200).json, known)
    message(api.get("/h/hash", url=f"{hma.CONTENT.base}/nothing.jpg"), 400)
    message(api.get("/h/hash", url=f"{hma.CONTENT.base}/message.txt"), 400)
    message(api.get("/h/hash", url=f"{hma.CONTENT.base}/known.jpg", content_type="gif"), 400)


# Lookups

@check
def all_of_hmas_examples_are_found(api):
    """HMA's end-to-end test: a dozen near pictures, looked up by the last of them."""
    bank = api.bank()
    near = [flip(SPECIMEN, bits) for bits in range(0, 36, 3)]
    ids = [api.signal(bank, pdq=pdq) for pdq in [*near, UNRELATED]]
    api.until("added", lambda: api.lookup(UNRELATED, banks=bank) == {bank: [{"bank_content_id": ids[-1], "distance": "0"}]})
    found = api.lookup(SPECIMEN, banks=bank)[bank]
    expected = {ids[i]: str(bits) for i, bits in enumerate(range(0, 36, 3)) if bits <= 31}
    equal({match["bank_content_id"]: match["distance"] for match in found}, expected)
    equal(len(found), len(expected), "number of matches")
    equal(api.lookup("5" * 64, banks=bank), {})
    built = status(api.get("/m/index/status", signal_type="pdq"), 200).json
    assert list(built) == ["pdq"] and built["pdq"]["present"] is True and built["pdq"]["size"] >= len(ids), built


@check
def distance_31_matches_and_32_does_not(api):
    bank, pdq = api.bank(), random_pdq()
    content = api.signal(bank, pdq=pdq)
    api.until("added", lambda: api.lookup(pdq) != {})
    for bits in [1, 15, 16, 17, 30, 31]:
        equal(api.lookup(flip(pdq, bits)), {bank: [{"bank_content_id": content, "distance": str(bits)}]}, f"{bits} bits")
    for bits in [32, 33, 128, 256]:
        equal(api.lookup(flip(pdq, bits)), {}, f"{bits} bits")


@check
def raw_lookup_answers_ids_or_distances(api):
    bank, pdq = api.bank(), random_pdq()
    content = api.signal(bank, pdq=pdq)
    query = {"signal_type": "pdq", "signal": flip(pdq, 4)}
    api.until("added", lambda: api.get("/m/raw_lookup", **query).json == {"matches": [content]})
    equal(status(api.get("/m/raw_lookup", include_distance="true", **query), 200).json, {"matches": [{"bank_content_id": content, "distance": "4"}]})
    equal(status(api.get("/m/raw_lookup", include_distance="True", **query), 200).json["matches"][0]["distance"], "4")
    equal(status(api.get("/m/raw_lookup", include_distance="false", **query), 200).json, {"matches": [content]})
    equal(status(api.get("/m/raw_lookup", signal_type="pdq", signal="5" * 64, banks=bank), 200).json, {"matches": []})


@check
def banks_filter_lookups_and_raw_lookups(api):
    banks, pdq = [api.bank() for _ in range(3)], random_pdq()
    ids = {bank: api.signal(bank, pdq=pdq) for bank in banks}
    raw = {"signal_type": "pdq", "signal": pdq}
    api.until("added", lambda: len(api.get("/m/raw_lookup", **raw).json["matches"]) == 3)
    equal(len(set(ids.values())), 3, "ids of three contents")
    a, b, c = banks
    for asked in [[a], [a, c], [b, a], [a, "T_NOT_THERE"], ["T_NOT_THERE"], [a, b, c]]:
        expected = {bank: [{"bank_content_id": ids[bank], "distance": "0"}] for bank in asked if bank in ids}
        equal(api.lookup(pdq, banks=",".join(asked)), expected)
        found = api.get("/m/raw_lookup", banks=",".join(asked), **raw).json["matches"]
        equal(sorted(found), sorted(ids[bank] for bank in asked if bank in ids))
        found = api.get("/m/raw_lookup", banks=",".join(asked), include_distance="true", **raw).json["matches"]
        equal(sorted(match["bank_content_id"] for match in found), sorted(ids[bank] for bank in asked if bank in ids))
    equal(set(api.lookup(pdq, banks="")), set(banks))


@check
def video_md5_is_looked_up_exactly(api):
    bank, digest = api.bank(), md5(random_pdq().encode())
    content = api.signal(bank, video_md5=digest)
    api.until("added", lambda: api.get("/m/raw_lookup", signal_type="video_md5", signal=digest).json == {"matches": [content]})
    found = status(api.get("/m/lookup", signal_type="video_md5", signal=digest), 200).json
    equal([match["bank_content_id"] for match in found[bank]], [content])
    equal(status(api.get("/m/lookup", signal_type="video_md5", signal=md5(b"other")), 200).json, {})


@check
def lookup_of_no_signal_is_a_400(api):
    for query in [{}, {"signal": SPECIMEN}, {"signal_type": "pdq"}, {"signal_type": "banana", "signal": SPECIMEN}, {"signal_type": "pdq", "signal": "x"}]:
        message(api.get("/m/lookup", **query), 400)
    for query in [{"signal_type": "banana", "signal": SPECIMEN}, {"signal_type": "pdq", "signal": "x"}, {"signal_type": "video_md5", "signal": SPECIMEN}]:
        message(api.get("/m/raw_lookup", **query), 400)


@check
def lookup_of_a_file(api):
    bank, photo = api.bank(), sample("known.jpg")
    content = api.upload(f"/c/bank/{bank}/content", [("photo", photo)]).json["id"]
    found = {"pdq": {bank: [{"bank_content_id": content, "distance": "0"}]}}
    api.until("added", lambda: api.upload("/m/lookup", [("photo", photo)], banks=bank).json == found)
    equal(status(api.upload("/m/lookup", [("photo", photo)], banks=bank, types="pdq"), 200).json, found)
    equal(status(api.upload("/m/lookup", [("photo", photo)], banks="T_NOT_THERE"), 200).json, {"pdq": {}})
    equal(status(api.upload("/m/lookup", [("video", photo)], banks=bank), 200).json, {"video_md5": {}})
    near = status(api.upload("/m/lookup", [("photo", sample("known-resized.webp"))], banks=bank), 200).json
    equal([match["bank_content_id"] for match in near["pdq"][bank]], [content])


@check
def lookup_of_no_file_is_a_400(api):
    message(api.call("POST", "/m/lookup"), 400)
    for files in [[("file", b"x")], [("photo", sample("known.jpg")), ("photo", sample("known.jpg"))]]:
        message(api.upload("/m/lookup", files), 400)
    message(api.upload("/m/lookup", [("photo", sample("known.jpg"))], types="banana"), 400)


@check(fetches=True)
def lookup_of_a_url(api):
    bank = api.bank()
    content = api.upload(f"/c/bank/{bank}/content", [("photo", sample("known.jpg"))]).json["id"]
    found, url = {bank: [{"bank_content_id": content, "distance": "0"}]}, f"{hma.CONTENT.base}/known.jpg"
    api.until("added", lambda: api.get("/m/lookup", url=url, banks=bank).json == {"pdq": found})
    equal(status(api.get("/m/lookup", url=url, banks=bank, signal_type="pdq"), 200).json, found)
    equal(status(api.get("/m/lookup", url=url, banks=bank, signal_type="video_md5"), 200).json, {})
    equal(status(api.get("/m/lookup", url=url, banks=bank, content_type="video", types="video_md5"), 200).json, {"video_md5": {}})


# The coin

@check
def bank_that_is_off_is_left_out_of_lookups_and_not_of_raw_ones(api):
    bank, pdq = api.bank(), random_pdq()
    content = api.signal(bank, pdq=pdq)
    found = {bank: [{"bank_content_id": content, "distance": "0"}]}
    api.until("added", lambda: api.lookup(pdq) == found)
    api.put(f"/c/bank/{bank}", {"enabled": False})
    api.until("switched off", lambda: api.lookup(pdq) == {})
    equal(api.get("/m/raw_lookup", signal_type="pdq", signal=pdq).json, {"matches": [content]})
    api.put(f"/c/bank/{bank}", {"enabled": True})
    api.until("switched on", lambda: api.lookup(pdq) == found)


@check
def seed_decides_as_pythons_random_does(api):
    bank, pdq = api.bank(), random_pdq()
    api.signal(bank, pdq=pdq)
    api.until("added", lambda: api.lookup(pdq) != {})
    api.put(f"/c/bank/{bank}", {"enabled_ratio": 0.5})
    seeds = ["", "a", "content-1", "4711", "ü"] + [f"item {number}" for number in range(20)]
    api.until("ratio", lambda: all((bank in api.lookup(pdq, seed=seed)) == (random.Random(seed).random() <= 0.5) for seed in seeds))


@check
def lookup_of_a_file_can_bypass_the_coin(api):
    bank, photo = api.bank(), sample("known.jpg")
    content = api.upload(f"/c/bank/{bank}/content", [("photo", photo)]).json["id"]
    api.until("added", lambda: api.upload("/m/lookup", [("photo", photo)], banks=bank).json["pdq"] != {})
    api.put(f"/c/bank/{bank}", {"enabled": False})
    api.until("switched off", lambda: api.upload("/m/lookup", [("photo", photo)], banks=bank).json == {"pdq": {}})
    found = api.upload("/m/lookup", [("photo", photo)], banks=bank, bypass_coinflip="true")
    equal(status(found, 200).json, {"pdq": {bank: [{"bank_content_id": content, "distance": "0"}]}})


# Changes in force

@check
def what_is_deleted_is_not_looked_up(api):
    bank, pdq = api.bank(), random_pdq()
    one, two = api.signal(bank, pdq=pdq), api.signal(bank, pdq=flip(pdq, 3))
    api.until("added", lambda: len(api.lookup(pdq).get(bank, [])) == 2)
    api.delete(f"/c/bank/{bank}/content/{one}")
    api.until("content deleted", lambda: api.lookup(pdq) == {bank: [{"bank_content_id": two, "distance": "3"}]})
    renamed = bank + "_R"
    api.put(f"/c/bank/{bank}", {"name": renamed})
    api.until("bank renamed", lambda: list(api.lookup(pdq)) == [renamed])
    api.delete(f"/c/bank/{renamed}")
    api.until("bank deleted", lambda: api.lookup(pdq) == {})
    api.until("gone from raw lookups", lambda: api.get("/m/raw_lookup", signal_type="pdq", signal=pdq).json == {"matches": []})


# Signals that several contents share

def ids_found(api, kind, text, bank):
    """The contents of this bank that a lookup names, sorted."""
    found = status(api.get("/m/lookup", signal_type=kind, signal=text, banks=bank), 200).json
    return sorted(match["bank_content_id"] for match in found.get(bank, []))


@check
def signal_added_twice_is_two_contents(api):
    """Each has its own note and its own life; a lookup names both."""
    bank, pdq = api.bank(), random_pdq()
    one, two = (api.signal(bank, pdq=pdq, note=note) for note in ("first", "second"))
    assert one != two, f"both are {one}"
    equal([api.get(f"/c/bank/{bank}/content/{content}").json["note"] for content in (one, two)], ["first", "second"])
    api.until("added", lambda: ids_found(api, "pdq", pdq, bank) == sorted([one, two]))
    equal(sorted(api.get("/m/raw_lookup", signal_type="pdq", signal=pdq, banks=bank).json["matches"]), sorted([one, two]))
    api.put(f"/c/bank/{bank}/content/{one}", {"disable_until_ts": 0})
    api.until("first disabled", lambda: ids_found(api, "pdq", pdq, bank) == [two])
    api.put(f"/c/bank/{bank}/content/{one}", {"disable_until_ts": 1})
    api.until("first enabled", lambda: ids_found(api, "pdq", pdq, bank) == sorted([one, two]))
    api.delete(f"/c/bank/{bank}/content/{one}")
    api.until("first deleted", lambda: ids_found(api, "pdq", pdq, bank) == [two])
    equal(api.get("/m/raw_lookup", signal_type="pdq", signal=pdq, banks=bank).json, {"matches": [two]})


@check
def contents_that_share_one_of_their_signals_keep_all_of_them(api):
    bank, pdq, digests = api.bank(), random_pdq(), [md5(random_pdq().encode()) for _ in range(2)]
    one, two = (api.signal(bank, pdq=pdq, video_md5=digest) for digest in digests)
    for content, digest in [(one, digests[0]), (two, digests[1])]:
        shown = api.get(f"/c/bank/{bank}/content/{content}", include_signals="true").json
        equal(shown["signals"], {"pdq": pdq, "video_md5": digest})
        api.until("added", lambda: ids_found(api, "video_md5", digest, bank) == [content])
    api.until("both", lambda: ids_found(api, "pdq", pdq, bank) == sorted([one, two]))
    api.delete(f"/c/bank/{bank}/content/{one}")
    api.until("first deleted", lambda: ids_found(api, "pdq", pdq, bank) == [two])
    api.until("its own is gone", lambda: ids_found(api, "video_md5", digests[0], bank) == [])
    equal(ids_found(api, "video_md5", digests[1], bank), [two])
    again = api.signal(bank, pdq=pdq, video_md5=digests[0])
    api.until("added again", lambda: ids_found(api, "pdq", pdq, bank) == sorted([two, again]))
    api.delete(f"/c/bank/{bank}/content/{two}")
    api.until("second deleted", lambda: ids_found(api, "pdq", pdq, bank) == [again])
    equal(ids_found(api, "video_md5", digests[1], bank), [])


@check
def photo_uploaded_twice_is_two_contents(api):
    bank, photo = api.bank(), sample("known.jpg")
    one, two = (status(api.upload(f"/c/bank/{bank}/content", [("photo", photo)]), 200, 201).json["id"] for _ in range(2))
    found = lambda: sorted(match["bank_content_id"] for match in api.upload("/m/lookup", [("photo", photo)], banks=bank).json["pdq"].get(bank, []))
    api.until("added", lambda: found() == sorted([one, two]))
    api.delete(f"/c/bank/{bank}/content/{two}")
    api.until("second deleted", lambda: found() == [one])


# Comparison

@check
def compare_hashes(api):
    equal(status(api.post("/m/compare", {"pdq": [SPECIMEN, SPECIMEN_EDIT]}), 200).json, {"pdq": [True, {"distance": 9}]})
    equal(status(api.post("/m/compare", {"pdq": [SPECIMEN, flip(SPECIMEN, 31)]}), 200).json, {"pdq": [True, {"distance": 31}]})
    equal(status(api.post("/m/compare", {"pdq": [SPECIMEN, flip(SPECIMEN, 32)]}), 200).json, {"pdq": [False, {"distance": 32}]})
    equal(status(api.post("/m/compare", {}), 200).json, {})


@check
def compare_what_are_no_two_hashes_is_a_400(api):
    for body in [["banana"], {"pdq": "banana"}, {"pdq": []}, {"pdq": ["banana", "banana"]}, {"pdq": [SPECIMEN, SPECIMEN_EDIT, SPECIMEN]},
                 {"banana": [SPECIMEN, SPECIMEN]}, {"pdq": [SPECIMEN, "banana"]}, {"pdq": [SPECIMEN, 5]}]:
        message(api.post("/m/compare", body), 400)


# Types and indices

@check
def types_are_listed(api):
    signals = {entry["name"]: entry for entry in status(api.get("/c/signal_type"), 200).json}
    for name in ["pdq", "video_md5"]:
        equal(signals[name], {"name": name, "enabled_ratio": 1.0})
    contents = status(api.get("/c/content_type"), 200).json
    for name in ["photo", "video"]:
        assert {"name": name, "enabled": True} in contents, contents


@check
def indices_tell_their_size(api):
    bank = api.bank()
    api.signal(bank, pdq=random_pdq(), video_md5=md5(b"x"))
    api.until("index in step", lambda: all(index["index_out_of_date"] is False for index in api.get("/c/signal_type/index").json.values()))
    indices = status(api.get("/c/signal_type/index"), 200).json
    for name in ["pdq", "video_md5"]:
        index = indices[name]
        equal(set(index), {"db_size", "index_size", "index_out_of_date", "newest_db_item", "index_built_to"}, name)
        assert index["db_size"] == index["index_size"] >= 1 and index["newest_db_item"] == index["index_built_to"], index
        assert abs(index["newest_db_item"] - time.time()) < 600, f"no time in seconds: {index}"
    equal(list(status(api.get("/c/signal_type/index", signal_type="pdq"), 200).json), ["pdq"])
    message(api.get("/c/signal_type/index", signal_type="banana"), 400)
    built = status(api.get("/m/index/status"), 200).json
    assert {"pdq", "video_md5"} <= set(built), built
    for index in built.values():
        equal(set(index), {"present", "built_to", "size"})
    message(api.get("/m/index/status", signal_type="banana"), 400)

"""Checks that HMA and Nightlight pass alike: status, banks, content, signals, hashing, lookups, comparison, types.

After HMA's tests (`OpenMediaMatch/tests/test_api.py`, `test_api_banks.py`, `test_match_api.py`, `test_hashing.py`, `test_e2e_workflow.py`) and, where
those stop, its blueprints. Exchanges are in `hma_exchanges.py`.
"""
import random
import time
import urllib.parse

from hma import SPECIMEN, SPECIMEN_EDIT, UNRELATED, check, equal, flip, includes, md5, message, random_pdq, sample, status

# The web server of checks that fetch; set by `hma.py`.
CONTENT = None


# Status

@check
def status_says_that_it_is_alive(api):
    for path in ["/status", "/status/live"]:
        equal((status(api.get(path), 200).body, path), (b"I-AM-ALIVE", path))


@check
def document_has_hmas_title(api):
    equal(status(api.get("/openapi/openapi.json"), 200).json["info"]["title"], "Open Media Match API")


@check
def site_map_is_a_sorted_list_of_paths(api):
    paths = status(api.get("/site-map"), 200).json
    assert isinstance(paths, list) and paths == sorted(set(paths)), paths
    for path in ["/h/hash", "/m/lookup", "/m/raw_lookup", "/m/compare", "/m/index/status", "/c/banks", "/c/exchanges", "/status", "/site-map"]:
        assert path in paths, f"{path} is not in {paths}"


@check
def first_page_leads_on(api):
    assert status(api.get("/"), 302).headers["Location"].startswith("/")


# Banks

@check
def bank_names_are_upper_case_and_do_not_begin_with_a_digit(api):
    for name in ["01_TEST_BANK", "my_test_bank", "T BANK", "T-BANK", ""]:
        message(api.post("/c/banks", {"name": name}), 400)


@check
def bank_is_created_listed_and_shown(api):
    name = api.bank()
    bank = {"name": name, "matching_enabled_ratio": 1.0}
    equal(status(api.get(f"/c/bank/{name}"), 200).json, bank)
    listed = status(api.get("/c/banks"), 200).json
    assert listed.count(bank) == 1, listed
    created = status(api.post("/c/banks", {"name": name + "_2"}), 201)
    equal((created.json, created.type), ({"name": name + "_2", "matching_enabled_ratio": 1.0}, "application/json"))


@check
def bank_is_created_with_a_ratio(api):
    for settings, ratio in [({"enabled_ratio": 0.25}, 0.25), ({"enabled_ratio": 0}, 0.0), ({"enabled": True}, 1.0)]:
        name = api.bank(**settings)
        equal(api.get(f"/c/bank/{name}").json["matching_enabled_ratio"], ratio, str(settings))


@check
def bank_of_a_name_that_is_taken_is_a_403(api):
    name = api.bank()
    message(api.post("/c/banks", {"name": name}), 403)


@check
def bank_that_is_not_there_is_a_404(api):
    message(api.get("/c/bank/T_NOT_THERE"), 404)
    message(api.put("/c/bank/T_NOT_THERE", {"enabled": False}), 404)


@check
def bank_is_updated_as_hmas_test_does(api):
    name = api.bank()
    message(api.put(f"/c/bank/{name}", {"name": "1_invalid_name"}), 400)
    renamed = name + "_RENAMED"
    equal(status(api.put(f"/c/bank/{name}", {"name": renamed}), 200).json["name"], renamed)
    message(api.get(f"/c/bank/{name}"), 404)
    equal(status(api.put(f"/c/bank/{renamed}", {"enabled": False}), 200).json["matching_enabled_ratio"], 0)
    equal(status(api.put(f"/c/bank/{renamed}", {"enabled": True}), 200).json["matching_enabled_ratio"], 1)
    equal(status(api.put(f"/c/bank/{renamed}", {"enabled_ratio": 0.5}), 200).json["matching_enabled_ratio"], 0.5)
    equal([bank for bank in api.get("/c/banks").json if bank["name"].startswith(name)], [{"name": renamed, "matching_enabled_ratio": 0.5}])


@check
def bank_renamed_to_a_name_that_is_taken_is_a_403(api):
    one, two = api.bank(), api.bank()
    message(api.put(f"/c/bank/{one}", {"name": two}), 403)


@check
def bank_is_deleted_and_again(api):
    name = api.bank()
    for _ in range(2):
        equal(status(api.delete(f"/c/bank/{name}"), 200).json, {"message": "Done"})
    message(api.get(f"/c/bank/{name}"), 404)


@check
def bank_takes_its_name_from_the_deleted_one(api):
    name = api.bank()
    content = api.signal(name, pdq=random_pdq())
    api.delete(f"/c/bank/{name}")
    status(api.post("/c/banks", {"name": name}), 201)
    message(api.get(f"/c/bank/{name}/content/{content}"), 404)


# Content

@check
def content_of_an_uploaded_photo(api):
    bank = api.bank()
    answer = status(api.upload(f"/c/bank/{bank}/content", [("photo", sample("known.jpg"))]), 200, 201).json
    hashed = status(api.upload("/h/hash", [("photo", sample("known.jpg"))]), 200).json
    equal((set(answer), answer["signals"]), ({"id", "signals"}, hashed))
    assert isinstance(answer["id"], int) and list(hashed) == ["pdq"] and len(hashed["pdq"]) == 64, answer
    equal(status(api.get(f"/c/bank/{bank}/content/{answer['id']}"), 200).json["id"], answer["id"])


@check
def content_of_an_uploaded_video_is_its_md5(api):
    answer = status(api.upload(f"/c/bank/{api.bank()}/content", [("video", b"no real video")]), 200, 201).json
    equal(answer["signals"], {"video_md5": md5(b"no real video")})


@check(fetches=True)
def content_from_a_url(api):
    bank = api.bank()
    answer = api.call("POST", f"/c/bank/{bank}/content", {"url": f"{CONTENT.base}/known.jpg", "content_type": "photo"})
    equal(status(answer, 200, 201).json["signals"], api.upload("/h/hash", [("photo", sample("known.jpg"))]).json)
    noted = api.post(f"/c/bank/{bank}/content", {"note": "from a page", "metadata": {"content_id": "7"}}, url=f"{CONTENT.base}/known.jpg")
    shown = api.get(f"/c/bank/{bank}/content/{status(noted, 200, 201).json['id']}").json
    equal((shown["note"], shown["metadata"]["content_id"]), ("from a page", "7"))


@check
def content_shows_what_it_is(api):
    bank = api.bank(enabled_ratio=0.5)
    pdq = random_pdq()
    content = api.signal(bank, pdq=pdq)
    shown = {"id": content, "disable_until_ts": 1, "original_media_uri": None, "bank": {"name": bank, "matching_enabled_ratio": 0.5}}
    path = f"/c/bank/{bank}/content/{content}"
    equal(status(api.get(path), 200).json, shown)
    equal(status(api.get(path, include_signals="true"), 200).json, shown | {"signals": {"pdq": pdq}})
    equal(status(api.get(path, include_signals="false", include_metadata="true"), 200).json, shown)


@check
def content_that_is_not_there_is_a_404(api):
    message(api.get("/c/bank/T_NOT_THERE/content/1"), 404)
    bank = api.bank()
    message(api.get(f"/c/bank/{bank}/content/2000000000"), 404)
    message(api.put(f"/c/bank/{bank}/content/2000000000", {"note": "x"}), 404)
    for answer in [api.put("/c/bank/T_NOT_THERE/content/1", {}), api.delete("/c/bank/T_NOT_THERE/content/1"),
                   api.post("/c/bank/T_NOT_THERE/signal", {"pdq": SPECIMEN}),
                   api.upload("/c/bank/T_NOT_THERE/content", [("photo", sample("known.jpg"))])]:
        message(answer, 404)


@check
def content_without_a_file_or_with_several_is_a_400(api):
    path = f"/c/bank/{api.bank()}/content"
    photo = sample("known.jpg")
    message(api.post(path, {"note": "x"}), 400)
    for files in [[("gif", photo)], [("photo", photo), ("photo", photo)], [("photo", photo), ("video", photo)]]:
        message(api.upload(path, files), 400)


@check
def content_with_types_that_are_not_there_is_a_400(api):
    path = f"/c/bank/{api.bank()}/content"
    status(api.upload(path, [("photo", sample("known.jpg"))], types="pdq"), 200, 201)
    for types in ["banana", "pdq,banana", "video_md5", ","]:
        message(api.upload(path, [("photo", sample("known.jpg"))], types=types), 400)


@check
def content_keeps_metadata(api):
    bank = api.bank()
    metadata = {"content_id": "ext-id-123", "content_uri": "https://example.com/item/123", "json": {"source": "test", "nested": {"key": "value"}}}
    import json
    answer = api.upload(f"/c/bank/{bank}/content", [("photo", sample("known.jpg"))], [("metadata", json.dumps(metadata))])
    path = f"/c/bank/{bank}/content/{status(answer, 200, 201).json['id']}"
    includes(status(api.get(path), 200).json["metadata"], metadata, "metadata")
    assert "metadata" not in status(api.get(path, include_metadata="false"), 200).json


@check
def content_refuses_other_metadata(api):
    path = f"/c/bank/{api.bank()}/content"
    for metadata in ['{"invalid_metadata": 5}', "no json", "[1]", '{"content_id": 5}', '{"json": "text"}']:
        message(api.upload(path, [("photo", sample("known.jpg"))], [("metadata", metadata)]), 400)


@check
def content_without_metadata_or_note_shows_none(api):
    bank = api.bank()
    shown = api.get(f"/c/bank/{bank}/content/{api.signal(bank, pdq=random_pdq())}").json
    assert "metadata" not in shown and "note" not in shown, shown


@check
def note_is_kept_changed_and_taken_away(api):
    bank = api.bank()
    answer = api.upload(f"/c/bank/{bank}/content", [("photo", sample("known.jpg"))], [("note", "Reported by user X")])
    path = f"/c/bank/{bank}/content/{status(answer, 200, 201).json['id']}"
    equal(api.get(path).json["note"], "Reported by user X")
    for note in ["Updated note", "ü" * 255]:
        status(api.put(path, {"note": note}), 200)
        equal(api.get(path).json["note"], note)
    status(api.put(path, {"note": ""}), 200)
    assert "note" not in api.get(path).json


@check
def note_of_256_letters_or_no_text_is_a_400(api):
    bank = api.bank()
    message(api.upload(f"/c/bank/{bank}/content", [("photo", sample("known.jpg"))], [("note", "x" * 256)]), 400)
    for note in ["x" * 256, 5, ["x"]]:
        message(api.post(f"/c/bank/{bank}/signal", {"pdq": random_pdq(), "note": note}), 400)
    content = api.signal(bank, pdq=random_pdq())
    message(api.put(f"/c/bank/{bank}/content/{content}", {"note": "x" * 256}), 400)


@check
def signal_with_a_note(api):
    bank, pdq = api.bank(), "0" * 64
    answer = status(api.post(f"/c/bank/{bank}/signal", {"pdq": pdq, "note": "Hash from campaign ABC"}), 200, 201).json
    equal(answer, {"id": answer["id"], "signals": {"pdq": pdq}})
    equal(api.get(f"/c/bank/{bank}/content/{answer['id']}").json["note"], "Hash from campaign ABC")


@check
def signals_of_several_types_are_one_content(api):
    bank, pdq, digest = api.bank(), random_pdq(), md5(b"several")
    content = api.signal(bank, pdq=pdq, video_md5=digest)
    shown = api.get(f"/c/bank/{bank}/content/{content}", include_signals="true").json
    equal(shown["signals"], {"pdq": pdq, "video_md5": digest})
    for kind, text in [("pdq", pdq), ("video_md5", digest)]:
        api.until(f"added {kind}", lambda: api.get("/m/raw_lookup", signal_type=kind, signal=text, banks=bank).json == {"matches": [content]})


@check
def signals_that_are_none_are_a_400(api):
    path = f"/c/bank/{api.bank()}/signal"
    for body in [{}, {"note": "x"}, {"banana": SPECIMEN}, {"pdq": "banana"}, {"pdq": SPECIMEN[1:]}, {"pdq": SPECIMEN + "0"}, {"video_md5": SPECIMEN},
                 {"pdq": "g" * 64}, {"pdq": SPECIMEN, "video_md5": "x"}]:
        message(api.post(path, body), 400)


@check
def content_is_deleted_once(api):
    bank = api.bank()
    path = f"/c/bank/{bank}/content/{api.signal(bank, pdq=random_pdq())}"
    equal(status(api.delete(path), 200).json, {"deleted": 1})
    message(api.get(path), 404)
    equal(status(api.delete(path), 200).json, {"deleted": 0})


# Disabling content

@check
def disable_until_is_kept_and_answered(api):
    bank = api.bank()
    content = api.signal(bank, pdq=random_pdq())
    path = f"/c/bank/{bank}/content/{content}"
    until = int(time.time()) + 365 * 86400
    answer = status(api.put(path, {"disable_until_ts": until}), 200).json
    includes(answer, {"id": content, "disable_until_ts": until, "bank": {"name": bank, "matching_enabled_ratio": 1.0}})
    equal(api.get(path).json["disable_until_ts"], until)
    equal(status(api.put(path, {"disable_until_ts": str(until - 1)}), 200).json["disable_until_ts"], until - 1)


@check
def disable_until_too_far_negative_or_no_number_is_a_400(api):
    bank = api.bank()
    path = f"/c/bank/{bank}/content/{api.signal(bank, pdq=random_pdq())}"
    for value in [9999999999, -1, "soon", int(time.time()) + 6 * 365 * 86400]:
        message(api.put(path, {"disable_until_ts": value}), 400)
    equal(api.get(path).json["disable_until_ts"], 1)


@check
def disabled_content_is_not_looked_up_until_its_time(api):
    bank, pdq = api.bank(), random_pdq()
    content = api.signal(bank, pdq=pdq)
    path, found = f"/c/bank/{bank}/content/{content}", {bank: [{"bank_content_id": content, "distance": "0"}]}
    api.until("added", lambda: api.lookup(pdq) == found)
    now = int(time.time())
    for value, expected in [(0, {}), (1, found), (now + 1000, {}), (now - 10, found), (0, {}), (now + 2, {})]:
        status(api.put(path, {"disable_until_ts": value}), 200)
        api.until(f"disable_until_ts {value - now if value > 1 else value}", lambda: api.lookup(pdq) == expected)
    time.sleep(max(0, now + 3 - time.time()))
    api.until("its time came", lambda: api.lookup(pdq) == found)


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
    message(api.upload("/h/hash", [], [("photo", "text")]), 400)
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
    equal(status(api.get("/h/hash", url=f"{CONTENT.base}/known.jpg"), 200).json, known)
    equal(status(api.get("/h/hash", url=f"{CONTENT.base}/known.jpg", content_type="video"), 200).json, {"video_md5": md5(sample("known.jpg"))})
    equal(status(api.get("/h/hash", url=f"{CONTENT.base}/to?{CONTENT.base}/known.jpg", types="pdq"), 200).json, known)
    message(api.get("/h/hash", url=f"{CONTENT.base}/nothing.jpg"), 400)
    message(api.get("/h/hash", url=f"{CONTENT.base}/message.txt"), 400)
    message(api.get("/h/hash", url=f"{CONTENT.base}/known.jpg", content_type="gif"), 400)


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
    found, url = {bank: [{"bank_content_id": content, "distance": "0"}]}, f"{CONTENT.base}/known.jpg"
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


# Paths with what must be written as %xx

@check
def names_in_paths_may_be_percent_encoded(api):
    bank = api.bank()
    equal(api.get("/c/bank/" + urllib.parse.quote(bank).replace("T", "%54", 1)).json["name"], bank)

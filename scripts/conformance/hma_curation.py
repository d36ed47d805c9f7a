"""Checks that HMA and Nightlight pass alike: status, banks, and their content.

After HMA's tests (`OpenMediaMatch/tests/test_api.py`, `test_api_banks.py`) and, where those stop, its blueprints.
"""
import json
import time
import urllib.parse

import hma
from hma import check, equal, includes, md5, message, random_pdq, sample, status


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
    answer = api.call("POST", f"/c/bank/{bank}/content", {"url": f"{hma.CONTENT.base}/known.jpg", "content_type": "photo"})
    equal(status(answer, 200, 201).json["signals"], api.upload("/h/hash", [("photo", sample("known.jpg"))]).json)
    noted = api.post(f"/c/bank/{bank}/content", {"note": "from a page", "metadata": {"content_id": "7"}}, url=f"{hma.CONTENT.base}/known.jpg")
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
                   api.post("/c/bank/T_NOT_THERE/signal", {"pdq": hma.SPECIMEN}),
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
    for body in [{}, {"note": "x"}, {"banana": hma.SPECIMEN}, {"pdq": "banana"}, {"pdq": hma.SPECIMEN[1:]}, {"pdq": hma.SPECIMEN + "0"},
                 {"video_md5": hma.SPECIMEN}, {"pdq": "g" * 64}, {"pdq": hma.SPECIMEN, "video_md5": "x"}]:
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


# Paths with what must be written as %xx

@check
def names_in_paths_may_be_percent_encoded(api):
    bank = api.bank()
    equal(api.get("/c/bank/" + urllib.parse.quote(bank).replace("T", "%54", 1)).json["name"], bank)

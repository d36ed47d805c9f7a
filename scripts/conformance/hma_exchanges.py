"""Checks of HMA's exchange endpoints that HMA and Nightlight pass alike: APIs, their schemas and credentials, exchanges that take no network."""
import os
import secrets
import tempfile

from hma import UNRELATED, check, equal, includes, message, random_pdq, status

FETCH_STATUS = {"checkpoint_ts", "running_fetch_start_ts", "last_fetch_complete_ts", "last_fetch_succeeded", "up_to_date", "fetched_items"}


def exchange(api, kind="sample", **api_json):
    """A new exchange's name, which is also its bank's."""
    name = "T_" + secrets.token_hex(6).upper()
    answer = status(api.post("/c/exchanges", {"api": kind, "bank": name, "api_json": api_json}), 201)
    equal(answer.json, {"message": "Created successfully"})
    return name


@check
def exchange_apis_are_listed(api):
    apis = status(api.get("/c/exchanges/apis"), 200).json
    assert isinstance(apis, list) and {"sample", "local_file", "fb_threatexchange", "ncmec", "stop_ncii"} <= set(apis), apis


@check
def exchange_api_tells_of_credentials(api):
    equal(status(api.get("/c/exchanges/api/sample"), 200).json, {"supports_authentification": False, "has_set_authentification": False})
    includes(status(api.get("/c/exchanges/api/fb_threatexchange"), 200).json, {"supports_authentification": True})
    message(api.get("/c/exchanges/api/banana"), 400)


@check
def exchange_credentials_are_set_and_taken_away(api):
    path = "/c/exchanges/api/fb_threatexchange"
    before = api.get(path).json["has_set_authentification"]
    assert not before, "credentials are set already; this check would overwrite them"
    for credentials, has in [({"api_token": "12345789|000000000000"}, True), (None, True), ({}, False)]:
        answer = status(api.post(path, {"credential_json": credentials}), 200)
        equal(answer.json, {"supports_authentification": True, "has_set_authentification": has}, str(credentials))
        equal(status(api.get(path), 200).json, answer.json)
        assert b"12345789" not in answer.body, "credentials are shown"
    message(api.post(path, ["x"]), 400)


@check
def exchange_api_has_a_schema(api):
    schema = status(api.get("/c/exchanges/api/sample/schema"), 200).json
    equal(schema, {"config_schema": {"fields": []}, "credentials_schema": None})
    schema = status(api.get("/c/exchanges/api/fb_threatexchange/schema"), 200).json
    fields = {field["name"]: field for field in schema["config_schema"]["fields"]}
    includes(fields["privacy_group"], {"type": "number", "required": True})
    for field in [*fields.values(), *schema["credentials_schema"]["fields"]]:
        equal(set(field), {"name", "type", "required", "default", "help", "choices"}, field["name"])
    tokens = {field["name"]: field["type"] for field in schema["credentials_schema"]["fields"]}
    equal(tokens["api_token"], "string")
    schema = status(api.get("/c/exchanges/api/local_file/schema"), 200).json
    fields = {field["name"]: field for field in schema["config_schema"]["fields"]}
    includes(fields["filename"], {"type": "string", "required": True})
    includes(fields["signal_type"], {"type": "string", "required": False, "default": None})
    equal(schema["credentials_schema"], None)
    message(api.get("/c/exchanges/api/banana/schema"), 404)


@check
def exchange_schemas_of_ncmec_and_stop_ncii(api):
    schema = status(api.get("/c/exchanges/api/ncmec/schema"), 200).json
    fields = {field["name"]: field for field in schema["config_schema"]["fields"]}
    includes(fields["environment"], {"type": "enum", "required": True})
    assert fields["environment"]["choices"], fields["environment"]
    assert {"user", "password"} <= {field["name"] for field in schema["credentials_schema"]["fields"]}, schema
    schema = status(api.get("/c/exchanges/api/stop_ncii/schema"), 200).json
    assert {"subscription_key", "fetch_function_key"} <= {field["name"] for field in schema["credentials_schema"]["fields"]}, schema


@check
def exchange_is_created_listed_shown_changed_and_deleted(api):
    name = exchange(api)
    assert name in status(api.get("/c/exchanges"), 200).json
    includes(status(api.get(f"/c/exchange/{name}"), 200).json, {"name": name, "api": "sample", "enabled": True})
    status(api.put(f"/c/exchange/{name}", {"enabled": False}), 200)
    includes(api.get(f"/c/exchange/{name}").json, {"name": name, "enabled": False})
    equal(status(api.delete(f"/c/exchange/{name}"), 200).json, {"message": "Exchange deleted"})
    assert name not in api.get("/c/exchanges").json
    message(api.get(f"/c/exchange/{name}"), 404)
    # Deleting one that is not there is fine.
    status(api.delete(f"/c/exchange/{name}"), 200)


@check
def exchange_makes_its_bank_and_takes_it_away(api):
    name = exchange(api)
    equal(status(api.get(f"/c/bank/{name}"), 200).json, {"name": name, "matching_enabled_ratio": 1.0})
    api.delete(f"/c/exchange/{name}")
    message(api.get(f"/c/bank/{name}"), 404)


@check
def exchange_keeps_its_own_settings(api):
    name = exchange(api, "fb_threatexchange", privacy_group=4711, enabled=False)
    includes(status(api.get(f"/c/exchange/{name}"), 200).json, {"name": name, "api": "fb_threatexchange", "enabled": False, "privacy_group": 4711})
    name = exchange(api, "ncmec", environment="https://report.cybertip.org/hashsharing", enabled=False)
    includes(status(api.get(f"/c/exchange/{name}"), 200).json, {"environment": "https://report.cybertip.org/hashsharing"})


@check
def exchange_that_is_none_is_a_400(api):
    bank = "T_" + secrets.token_hex(6).upper()
    for body in [{"api": "sample", "bank": "lower"}, {"api": "sample", "bank": "T-1"}, {"api": "sample", "bank": ""}, {"api": "banana", "bank": bank},
                 {"bank": bank}, {"api": "sample"}, {"api": "sample", "bank": bank, "api_json": ["x"]},
                 {"api": "fb_threatexchange", "bank": bank, "api_json": {}}, {"api": "fb_threatexchange", "bank": bank, "api_json": {"privacy_group": "x"}},
                 {"api": "ncmec", "bank": bank, "api_json": {"environment": "banana"}}, {"api": "local_file", "bank": bank}]:
        message(api.post("/c/exchanges", body), 400)


@check
def exchange_that_is_not_there_is_a_404(api):
    for answer in [api.get("/c/exchange/T_NOT_THERE"), api.get("/c/exchange/T_NOT_THERE/status"), api.put("/c/exchange/T_NOT_THERE", {"enabled": True})]:
        message(answer, 404)


@check
def exchange_tells_when_it_fetched(api):
    name = exchange(api, "fb_threatexchange", privacy_group=1, enabled=False)
    new = status(api.get(f"/c/exchange/{name}/status"), 200).json
    assert FETCH_STATUS <= set(new), new
    equal((new["checkpoint_ts"], new["running_fetch_start_ts"], new["last_fetch_complete_ts"], new["up_to_date"], new["fetched_items"]),
          (None, None, None, False, 0))


@check
def exchange_of_samples_is_fetched_and_matched(api):
    """HMA's match tests: the samples are HMA's own examples."""
    name = exchange(api)
    api.until("fetched and in force", lambda: name in api.lookup(UNRELATED))
    found = api.lookup(UNRELATED)[name]
    equal([match["distance"] for match in found], ["0"])
    state = api.get(f"/c/exchange/{name}/status").json
    equal((state["last_fetch_succeeded"], state["up_to_date"]), (True, True))
    assert state["fetched_items"] >= 18 and state["last_fetch_complete_ts"] > 1.7e9, state
    shown = api.get(f"/c/bank/{name}/content/{found[0]['bank_content_id']}").json
    equal(list(shown["metadata"]["collab"]), [name])


@check
def exchange_of_a_local_file_is_fetched_and_follows_it(api):
    """The file must be readable by the server, on this machine."""
    one, two = random_pdq(), random_pdq()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "signals.txt")
        with open(path, "w") as file:
            file.write(f"pdq {one}\nvideo_md5 d41d8cd98f00b204e9800998ecf8427e\n")
        name = exchange(api, "local_file", filename=path)
        includes(api.get(f"/c/exchange/{name}").json, {"filename": path, "signal_type": None})
        api.until("fetched and in force", lambda: name in api.lookup(one))
        equal(api.get(f"/c/exchange/{name}/status").json["fetched_items"], 2)
        with open(path, "a") as file:
            file.write(f"pdq {two}\n")
        api.until("fetched again", lambda: name in api.lookup(two) and name in api.lookup(one))
        api.delete(f"/c/exchange/{name}")
        api.until("gone", lambda: api.lookup(one) == {} and api.lookup(two) == {})


@check
def exchange_that_fails_says_so(api):
    name = exchange(api, "local_file", filename="/nowhere/signals.txt")
    api.until("tried", lambda: api.get(f"/c/exchange/{name}/status").json["last_fetch_succeeded"] is False)
    equal(api.get(f"/c/exchange/{name}/status").json["fetched_items"], 0)

"""Scores a picture and a text and lists the queue, through the client that is generated from /openapi.json."""
import base64
import io
import os
import pathlib

from nightlight_client import AuthenticatedClient
from nightlight_client.api.match import post_match
from nightlight_client.api.review import get_review_items
from nightlight_client.api.score import post_score, post_score_batch
from nightlight_client.models import AttachmentBody, BatchParts, ErrorBody, MatchBody, ScoreAnswer, ScoreBody, ScoreParts
from nightlight_client.types import File

key = pathlib.Path(os.environ["NIGHTLIGHT_KEY_FILE"]).read_text().strip()
picture = (pathlib.Path(os.environ["NIGHTLIGHT_SAMPLES"]) / "known.jpg").read_bytes()


def told(answer, status=200):
    assert answer.status_code == status, (answer.status_code, answer.content)
    return answer.parsed


def main():
    with AuthenticatedClient(base_url=os.environ["NIGHTLIGHT_URL"], token=key) as client:
        file = lambda: File(payload=io.BytesIO(picture), file_name="known.jpg", mime_type="image/jpeg")
        raw = told(post_score.sync_detailed(client=client, body=file(), item_id="py-1"))
        assert isinstance(raw, ScoreAnswer) and raw.item_id == "py-1" and raw.attachment.media_type == "image/jpeg", raw
        form = told(post_score.sync_detailed(client=client, body=ScoreParts(attachment=file())))
        assert form.attachment.sha256 == raw.attachment.sha256, form
        text = told(post_score.sync_detailed(client=client, body=ScoreBody(attachment=AttachmentBody(text="hello"))))
        assert text.attachment.kind == "text", text
        batch = told(post_score_batch.sync_detailed(client=client, body=BatchParts(attachment=[file(), file()])))
        assert [outcome.status for outcome in batch] == [200, 200], batch
        found = told(post_match.sync_detailed(client=client, body=MatchBody(media_base64=base64.b64encode(picture).decode())))
        assert len(found.hashes.pdq.hash_) == 64, found
        assert isinstance(told(get_review_items.sync_detailed(client=client)).items, list)
        refused = told(post_score.sync_detailed(client=client, body=ScoreBody(attachment=AttachmentBody())), 400)
        assert isinstance(refused, ErrorBody) and refused.error.code == "malformed", refused
    print("the Python client scored a picture four ways and a text, matched, and listed the queue")


main()

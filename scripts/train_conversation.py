"""Trains the heads of models/conversation-demo on mild synthetic chats (synthetic_chats.py) and writes everything that follows from them.

    scripts/fetch.sh                                                   # the backbone, MiniLM
    python3 -m venv .venv && .venv/bin/pip install -r scripts/train-requirements.txt
    .venv/bin/python scripts/train_conversation.py                     # about two minutes

Written: message_head.onnx, conversation_head.onnx, labels.txt, manifest.toml, the report in CARD.md, and
tests/integration/fixtures/classify/golden.json, the numbers that the server's engine is held against. Everything is seeded; the
same versions of the requirements on the same kind of machine give the same bytes. `--check` only compares them.
"""

import argparse
import hashlib
import json
import os
import random
import re
import sys
import tomllib
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is opened, or it reports to its maker

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from tokenizers import Tokenizer

sys.dont_write_bytecode = True  # no __pycache__ beside the scripts
from synthetic_chats import HELD_OUT, LABELS, NONE, TRAIN, conversations, messages

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "conversation-demo"
GOLDEN = ROOT / "tests" / "integration" / "fixtures" / "classify" / "golden.json"
SEED = 20261123
FILLS = 24  # fillings of each template
CHATS = 1200  # conversations to train on, and as many to report on
MESSAGE_C = 20.0  # inverse L2 strength; embeddings have length 1, so weights must be able to grow
CONVERSATION_L2 = 0.02
PRESENT = 0.5  # a label counts as present from this probability on
WINDOW, STRIDE = 50, 25  # messages


def session(model) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Backbone:
    """MiniLM as its manifest describes it: texts to token windows to vectors of length 1."""

    def __init__(self, home: Path):
        manifest = tomllib.loads((ROOT / "models/minilm/manifest.toml").read_text())
        self.tokens, self.overlap = manifest["text"]["window_tokens"], manifest["text"]["window_overlap"]
        self.session = session(str(home / "models/minilm/model.onnx"))
        self.tokenizer = Tokenizer.from_file(str(home / "models/minilm/tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def windows(self, text: str) -> list[list[int]]:
        """Token ids of each window, with [CLS] 101 and [SEP] 102; none for a text without tokens."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        room = self.tokens - 2
        starts = range(0, max(1, len(ids) - self.overlap), room - self.overlap) if ids else []
        return [[101, *ids[start : start + room], 102] for start in starts]

    def embed(self, ids: list[int]) -> np.ndarray:
        row = np.array([ids], dtype=np.int64)
        feed = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        mean = self.session.run(["last_hidden_state"], feed)[0][0].mean(axis=0)
        return mean / np.linalg.norm(mean)

    def encode(self, text: str) -> np.ndarray:
        """[windows, 384]"""
        return np.array([self.embed(ids) for ids in self.windows(text)], dtype=np.float32).reshape(-1, 384)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def features(scores: np.ndarray) -> np.ndarray:
    """[messages, 7] probabilities of one window -> [9]: maxima, how many are present, their sum. All grow with every message."""
    most = scores.max(axis=0)
    return np.concatenate([most, [(most >= PRESENT).sum()], [most.sum()]])


def linear(name: str, given: str, weights: np.ndarray, bias: np.ndarray) -> bytes:
    """An ONNX model of one Gemm: `given` [batch, inputs] -> `logits` [batch, outputs]."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", [given, "weights", "bias"], ["logits"], transB=1)],
        name,
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weights.shape[0]])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights"), numpy_helper.from_array(bias.astype(np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="nightlight")
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def fit_messages(vectors: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One logistic regression per label: weights [7, 384], biases [7]."""
    fits = [LogisticRegression(C=MESSAGE_C, max_iter=2000).fit(vectors, truth[:, at]) for at in range(len(LABELS))]
    return np.array([fit.coef_[0] for fit in fits]), np.array([fit.intercept_[0] for fit in fits])


def fit_conversations(rows: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression whose weights are not negative, so that a further message never lowers a conversation's score."""

    def loss(parameters):
        weights, bias = parameters[:-1], parameters[-1]
        logits = rows @ weights + bias
        value = np.logaddexp(0, np.where(truth, -logits, logits)).mean() + CONVERSATION_L2 / 2 * weights @ weights
        error = (sigmoid(logits) - truth) / len(rows)
        return value, np.append(rows.T @ error + CONVERSATION_L2 * weights, error.sum())

    bounds = [(0, None)] * rows.shape[1] + [(None, None)]
    found = minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 5000})
    return found.x[None, :-1], found.x[-1:]


def one_hot(labels: list[str]) -> np.ndarray:
    return np.array([[label == wanted for wanted in LABELS] for label in labels])


def pooled(labels: list[str], scores: np.ndarray) -> dict[str, list[np.ndarray]]:
    pool = {label: [] for label in [*LABELS, NONE]}
    for label, row in zip(labels, scores):
        pool[label].append(row)
    return pool


def chats_of(labels, scores, random_) -> tuple[np.ndarray, np.ndarray]:
    """Features and truth of conversations drawn from scored messages."""
    made = conversations(pooled(labels, scores), CHATS, random_)
    return np.array([features(np.array(chat)) for chat, _ in made]), np.array([concerning for _, concerning in made])


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part}/{whole})" if whole else "- (0/0)"


def row_of(name: str, truth: np.ndarray, scores: np.ndarray) -> str:
    flagged = scores >= PRESENT
    hits = int((flagged & truth).sum())
    return f"| {name} | {percent(hits, int(flagged.sum()))} | {percent(hits, int(truth.sum()))} | {roc_auc_score(truth, scores):.3f} |"


def golden(home: Path, backbone: Backbone, message_head, conversation_head) -> dict:
    """What the engine must reproduce: see tests/integration/classify.rs."""

    def score(text):
        vectors = backbone.encode(text)
        if not len(vectors):
            return np.zeros(len(LABELS))
        return sigmoid(message_head.run(None, {"embedding": vectors})[0].astype(np.float64)).max(axis=0)

    def judge(texts):
        scores = np.array([score(text) for text in texts])
        windows = range(0, max(1, len(texts) - WINDOW + STRIDE), STRIDE)
        rows = [(end, features(scores[start : end + 1])) for start in windows for end in range(start, min(start + WINDOW, len(texts)))]
        logits = conversation_head.run(None, {"features": np.array([row for _, row in rows], dtype=np.float32)})[0][:, 0]
        prefix = [float(sigmoid(max(logit for (end, _), logit in zip(rows, logits) if end <= at))) for at in range(len(texts))]
        return {
            "messages": texts, "labels": [float(most) for most in scores.max(axis=0)], "windows": len(windows),
            "conversation": prefix[-1], "prefix": prefix, "first_alarm_at_0.5": next((at for at, p in enumerate(prefix) if p >= PRESENT), None),
        }

    long = "We talked about the weather and the football results for a while. " * 18
    texts = [
        "how old are you?", "How old is your dog?", "keep the surprise party for Mia a secret", "Don't tell your mum about this, ok",
        "send me the photos of the homework", "send me a pic of you", "meet you at practice with the team", "Größe, naïve café, 你好, a@b.example :-) 🙂",
        long, long + "By the way, this has to stay our secret. " + long, "", " \n\t ",
    ]
    quiet = ["hi", "did you do the maths homework", "lol", "the bus is late again", "see you at practice"]
    rising = [
        "hi, how was your day", "do you want to play minecraft tonight", "how old are you?", "gg, that was a good round", "let's talk on telegram instead",
        "don't tell your parents about this", "i can buy you some robux", "ok see you on friday", "come to the park alone",
    ]
    image = ((np.arange(2 * 224 * 224 * 3, dtype=np.int64) * 7919 // 13) % 256 - 110).astype(np.float32).reshape(2, 224, 224, 3)
    nsfw = session(str(home / "models/open-nsfw/open-nsfw.onnx")).run(["outputs"], {"input:0": image})[0]
    return {
        "written_by": "scripts/train_conversation.py",
        "open_nsfw": {"input": "element i of [2,224,224,3] is (i * 7919 / 13) mod 256 - 110, in whole numbers", "scores": nsfw.tolist()},
        "texts": [
            {"text": text, "windows": backbone.windows(text), "scores": [float(value) for value in score(text)],
             "embedding": [round(float(value), 8) for value in backbone.encode(text)[0]] if at in (3, 7) else None}
            for at, text in enumerate(texts)
        ],
        "conversations": [judge(rising), judge(quiet), judge((quiet * 16)[:78] + rising + quiet * 7), judge([""])],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description="Train the conversation demo and write its files.")
    arguments.add_argument("--home", type=Path, default=ROOT / ".nightlight", help="where scripts/fetch.sh installed the backbone")
    arguments.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    chosen = arguments.parse_args()
    backbone, random_ = Backbone(chosen.home), random.Random(SEED)

    train, held = messages(TRAIN, FILLS, random_), messages(HELD_OUT, FILLS, random_)
    seen = {text for text, _, _ in train}
    held = [message for message in held if message[0] not in seen]
    print(f"embedding {len(train)} + {len(held)} messages", file=sys.stderr)
    vectors, held_vectors = (np.concatenate([backbone.encode(text)[:1] for text, _, _ in part]) for part in (train, held))
    labels, held_labels = [label for _, label, _ in train], [label for _, label, _ in held]

    weights, bias = fit_messages(vectors, one_hot(labels))
    message_onnx = linear("message_head", "embedding", weights, bias)
    message_head = session(message_onnx)
    held_scores = sigmoid(message_head.run(None, {"embedding": held_vectors})[0])

    # The conversation head learns from scores of templates that the message head had not seen (cross-fitting over templates);
    # from its own training scores it would learn to expect a certainty that real messages do not have.
    crossed = np.zeros((len(train), len(LABELS)))
    for kept, left in GroupKFold(n_splits=5).split(vectors, groups=[template for _, _, template in train]):
        part, part_bias = fit_messages(vectors[kept], one_hot([labels[at] for at in kept]))
        crossed[left] = sigmoid(vectors[left] @ part.T + part_bias)
    rows, truth = chats_of(labels, crossed, random_)
    conversation_onnx = linear("conversation_head", "features", *fit_conversations(rows, truth))
    conversation_head = session(conversation_onnx)
    held_rows, held_truth = chats_of(held_labels, held_scores, random_)
    held_chats = sigmoid(conversation_head.run(None, {"features": held_rows.astype(np.float32)})[0][:, 0])

    none = np.array([label == NONE for label in held_labels])
    false = int((held_scores[none].max(axis=1) >= PRESENT).sum())
    report = "\n".join([
        f"Trained on {len(train)} messages from {sum(map(len, TRAIN.values()))} templates and {CHATS} conversations made of them. Measured at 0.5 on {len(held)} messages",
        f"from {sum(map(len, HELD_OUT.values()))} *other* templates and on {CHATS} conversations made of those. Four templates stand behind each label's row: the counts are",
        "their fillings, which are not independent, so no confidence interval is given.", "",
        "| label | precision | recall | ROC AUC |", "| --- | --- | --- | --- |",
        *(row_of(label, one_hot(held_labels)[:, at], held_scores[:, at]) for at, label in enumerate(LABELS)),
        row_of("conversation", held_truth, held_chats), "",
        f"Harmless messages flagged with any label: {percent(false, int(none.sum()))}.",
    ])
    files = {
        MODEL / "message_head.onnx": message_onnx,
        MODEL / "conversation_head.onnx": conversation_onnx,
        MODEL / "labels.txt": "".join(f"{label}\n" for label in LABELS).encode(),
    }
    manifest = (ROOT / "scripts/conversation_manifest.toml.in").read_text()
    for name, value in (("window", WINDOW), ("stride", STRIDE), ("present", PRESENT)):
        manifest = manifest.replace(f"@{name}@", str(value))
    for name in ("message_head", "conversation_head"):
        data = files[MODEL / f"{name}.onnx"]
        manifest = manifest.replace(f"@{name}_sha256@", hashlib.sha256(data).hexdigest()).replace(f"@{name}_bytes@", str(len(data)))
    text = re.search(r'^text = "(.*)"$', manifest, re.MULTILINE)[1]
    scores = sigmoid(message_head.run(None, {"embedding": backbone.encode(text)[:1]})[0][0])
    table = ", ".join(f"{label} = {round(float(score), 4)}" for label, score in zip(LABELS, scores))
    manifest = manifest.replace("@golden_scores@", f"{{ {table} }}")
    files[MODEL / "manifest.toml"] = manifest.encode()
    before, rest = (MODEL / "CARD.md").read_text().split("<!-- report -->\n")
    after = rest.split("<!-- end of report -->\n")[1]
    files[MODEL / "CARD.md"] = f"{before}<!-- report -->\n{report}\n<!-- end of report -->\n{after}".encode()
    files[GOLDEN] = (json.dumps(golden(chosen.home, backbone, message_head, conversation_head), ensure_ascii=False, indent=1) + "\n").encode()
    print(report)

    changed = [path for path, data in files.items() if not path.is_file() or path.read_bytes() != data]
    if chosen.check:
        sys.exit(f"these would change: {', '.join(str(path.relative_to(ROOT)) for path in changed)}" if changed else 0)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])


if __name__ == "__main__":
    main()

"""Whether two builds answer alike: what must be equal, and what is only listed because a later build may say more.

Equal: the attachment's kind, size and digest, the best distance of every match, each score (the highest over frames and looks, within what two JPEG
decoders differ), the route. Listed: fields that only one side has, reasons why something was not scored, and a route that changed together with those.
"""
import collections
import statistics

# What two decoders' rounding does to a score (scripts/bench/score_check.py holds the peer to the same), and to PDQ's bits.
SCORE_TOLERANCE = 0.01
MOST_BITS = 10
# Not an answer: times, and the versions of what answered.
APART = {"timings_ms", "versions", "request_id", "item_id"}


def fields(value, path=""):
    """The paths of all fields of an answer; the entries of a list count as one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if path or name not in APART:
                yield f"{path}{name}"
                yield from fields(inner, f"{path}{name}.")
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path[:-1]}[].")


def core(answer):
    """What must be equal, and the scores."""
    matches, scores = {}, {}
    for match in answer["matches"]:
        of = (match["bank"], match["content_id"])
        matches[of] = min(match["distance"], matches.get(of, match["distance"]))
    for score in answer["scores"]:
        of = (score["technology"], score["label"])
        scores[of] = max(score["raw"], scores.get(of, score["raw"]))
    attachment = {name: answer["attachment"].get(name) for name in ("kind", "media_type", "bytes", "width", "height", "sha256")}
    return {"attachment": attachment, "matches": matches, "scored": sorted(scores)}, scores


def reasons(answer):
    return sorted({entry["reason"] for entry in answer["unscored"]})


class Comparison:
    """Collects pairs of answers of this build and the other; `end` prints what was found and says whether they agree."""

    def __init__(self, name):
        self.name, self.count, self.wrong, self.distances = name, 0, [], []
        self.listed = collections.Counter()

    def scores(self, what, this, other):
        """A pair of answers of POST /score."""
        self.count += 1
        (a, ours), (b, theirs) = core(this), core(other)
        for part in a:
            if a[part] != b[part]:
                self.wrong.append(f"{what}: {part}: {a[part]}, other {b[part]}")
        for of in ours.keys() & theirs.keys():
            self.distances.append(abs(ours[of] - theirs[of]))
            if self.distances[-1] > SCORE_TOLERANCE:
                self.wrong.append(f"{what}: score {'.'.join(of)}: {ours[of]}, other {theirs[of]}")
        if reasons(this) != reasons(other):
            self.listed[f"unscored {reasons(this)}, other {reasons(other)}"] += 1
        routes = (this["decision"]["route"], other["decision"]["route"])
        if routes[0] != routes[1]:
            text = f"route {routes[0]}, other {routes[1]}"
            if reasons(this) == reasons(other):
                self.wrong.append(f"{what}: {text}")
            self.listed[text] += 1
        self.fields(this, other)

    def hashes(self, this, other):
        """A pair of rows of `nightlight hash`: digests equal, hashes at most ten bits apart where the quality makes them count."""
        self.count += 1
        for name in ("file", "md5", "sha1", "sha256"):
            if this.get(name) != other.get(name):
                self.wrong.append(f"{this.get('file')}: {name}: {this.get(name)}, other {other.get(name)}")
        if ("pdq" in this) != ("pdq" in other):
            self.wrong.append(f"{this.get('file')}: {this.get('error', 'hashed')}, other {other.get('error', 'hashed')}")
        elif "pdq" in this:
            self.distances.append((int(this["pdq"], 16) ^ int(other["pdq"], 16)).bit_count())
            if min(this["quality"], other["quality"]) >= 50 and self.distances[-1] > MOST_BITS:
                self.wrong.append(f"{this['file']}: {self.distances[-1]} bits apart")
        self.fields(this, other)

    def fields(self, this, other):
        a, b = set(fields(this)), set(fields(other))
        for path in a - b:
            self.listed[f"only this build says {path}"] += 1
        for path in b - a:
            self.listed[f"only the other build says {path}"] += 1

    def end(self):
        far = f"largest difference {max(self.distances):.6g}, median {statistics.median(self.distances):.6g}" if self.distances else "nothing measured"
        print(f"{self.name}: {self.count} answers compared, {far}", flush=True)
        for text, times in sorted(self.listed.items()):
            print(f"  listed: {text} ({times} of {self.count})", flush=True)
        for text in self.wrong[:10]:
            print(f"  DIFFERENT: {text}", flush=True)
        if len(self.wrong) > 10:
            print(f"  … and {len(self.wrong) - 10} more", flush=True)
        return not self.wrong

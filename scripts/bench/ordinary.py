"""Ordinary texts and chats, seeded: mild, English, short like messages, with a few long ones. No model was trained on them."""
import json
import random

WORDS = ("see you at the museum tomorrow bring maps please we finished homework and practice late today our team won match grandma sends bread for club is "
         "weather good in islands can i borrow your notes on dinosaurs three of us sing guitar after school bus was full teacher drew a kind cat").split()


def texts(count, seed=1):
    """Sentences of 3 to 40 words, and one text in sixteen of some 300."""
    draw = random.Random(seed)
    lengths = [300 if number % 16 == 15 else int(draw.triangular(3, 40, 9)) for number in range(count)]
    return [" ".join(draw.choice(WORDS) for _ in range(length)) + draw.choice(["", ".", "?", "!"]) for length in lengths]


def chats(count, seed=1):
    """Chats of two people, 4 to 24 messages each, as the body of POST /score."""
    draw, pool, found = random.Random(seed), texts(count * 4, seed + 1), []
    for number in range(count):
        messages = [{"author": draw.choice(["ann", "bea"]), "time": f"2026-03-0{1 + number % 9}T10:{minute:02}:00Z",
                     "text": draw.choice([text for text in pool if len(text) < 400])} for minute in range(draw.randint(4, 24))]
        found.append(json.dumps({"attachment": {"conversation": {"messages": messages}}}))
    return found

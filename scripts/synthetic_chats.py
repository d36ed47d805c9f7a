"""Mild synthetic chat messages and conversations, never sexual, written from templates by a seeded generator.

Each label has templates for training and others, worded differently, that only the report sees: what a head learns
must hold for sentences it has not been shown. `NONE` holds harmless sentences, many of which share words with a label on purpose.
"""

import random
import re

LABELS = [
    "asks_age",
    "asks_secrecy",
    "moves_to_other_app",
    "offers_gifts",
    "asks_photos",
    "proposes_meeting_alone",
    "isolates_from_family",
]
NONE = "none"

SLOTS = {
    "hi": ["hey", "hi", "hello", "yo", "heyy", "so", "ok so", "btw", "hmm", "", "", "", ""],
    "end": ["", "", "", "?", "??", " :)", " haha", " lol", " x", "...", " please", " pls", " ok?"],
    "app": ["snapchat", "whatsapp", "telegram", "discord", "kik", "signal", "wickr", "insta", "another app", "viber"],
    "gift": ["a new phone", "some robux", "skins", "a gift card", "new headphones", "a game pass", "v-bucks", "a necklace", "concert tickets", "trainers", "money"],
    "place": ["the park", "the mall", "the lake", "my place", "the station", "the cinema", "the car park behind the shops", "the beach", "my house"],
    "when": ["on saturday", "after school", "tomorrow", "this weekend", "tonight", "on friday", "during the holidays", "after practice"],
    "family": ["your mum", "your mom", "your dad", "your parents", "your family", "your sister", "your brother", "your folks"],
    "adult": ["your mum", "your mom", "your dad", "your parents", "anyone", "your teacher", "your friends", "nobody else", "your family"],
    "game": ["minecraft", "fortnite", "roblox", "rocket league", "mario kart", "fifa", "among us", "chess"],
    "subject": ["maths", "history", "biology", "french", "geography", "physics", "english", "chemistry"],
    "pet": ["dog", "cat", "hamster", "rabbit", "puppy", "kitten", "parrot", "horse"],
    "thing": ["homework", "whiteboard", "recipe", "notes", "worksheet", "team list", "timetable", "lego set", "bike", "science project", "sunset", "receipt"],
    "team": ["the team", "everyone", "the whole class", "the other parents", "the club", "all of us", "coach and the others"],
    "name": ["Sam", "Mia", "Leo", "Ava", "Noah", "Zoe", "Ben", "Ella", "Tom", "Ines", "Kai", "Lena"],
    "day": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    "time": ["3pm", "4", "half past five", "six", "noon", "7:30", "ten", "quarter to 8"],
    "product": ["jacket", "laptop", "bike", "camera", "backpack", "tent", "keyboard", "lamp"],
}

TRAIN = {
    "asks_age": [
        "{hi} how old are you{end}", "{hi} what age are you{end}", "how old r u{end}", "{hi} can i ask your age{end}",
        "are you 12 or 13{end}", "what grade are you in, how old does that make you{end}", "you look young, how old are you really{end}",
        "{hi} when is your birthday, what year were you born{end}", "ur age{end}", "are you under 16{end}", "{hi} tell me your age first{end}",
        "i'm 14, how old are you{end}", "how many years old are you{end}", "are you still a teenager{end}", "age and where from{end}",
    ],
    "asks_secrecy": [
        "don't tell {adult} about this{end}", "this has to stay our secret{end}", "{hi} keep this just between us{end}",
        "promise you won't tell {adult}{end}", "please delete these messages{end}", "{hi} never show this chat to {adult}{end}",
        "{adult} must not find out that we talk{end}", "it is our little secret{end}", "can you keep a secret from {adult}{end}",
        "make sure {adult} can't see your phone when we chat{end}", "clear the chat history afterwards{end}",
        "don't mention me to {adult}{end}", "nobody needs to know about you and me{end}", "hide this conversation{end}",
    ],
    "moves_to_other_app": [
        "{hi} do you have {app}{end}", "add me on {app}{end}", "let's talk on {app} instead{end}", "{hi} can we move to {app}, it's more private{end}",
        "what's your {app}{end}", "message me on {app}, i don't like this chat{end}", "{hi} switch to {app}, they can't read it there{end}",
        "give me your number so we can text there{end}", "i'm hardly on here, write me on {app}{end}", "download {app} and add me{end}",
        "here is my {app} name, write me there{end}", "let's continue this on {app}{end}", "this chat is monitored, go to {app}{end}",
    ],
    "offers_gifts": [
        "i can buy you {gift}{end}", "{hi} i'll send you {gift} if you like{end}", "do you want {gift}, i'll pay{end}",
        "i got you {gift}, it's a present{end}", "tell me what you want and i'll get it for you{end}", "i would get you {gift} because you are special{end}",
        "you can have {gift} from me for free{end}", "let me treat you, i'll buy {gift}{end}", "give me your address and i'll send you {gift}{end}",
        "if you are nice to me i'll give you {gift}{end}", "{hi} i have {gift} for you{end}", "i'll gift you {gift} tonight{end}",
    ],
    "asks_photos": [
        "{hi} send me a pic of you{end}", "can i see a photo of you{end}", "what do you look like, send a picture{end}", "{hi} send a selfie{end}",
        "show me what you look like{end}", "do you have a picture of yourself{end}", "pic of your face{end}", "can you turn on your camera so i see you{end}",
        "i'd love to see your face, send a photo{end}", "send me another picture of you smiling{end}", "take a photo of yourself right now{end}",
        "trade pics, you send one of you first{end}",
    ],
    "proposes_meeting_alone": [
        "we should meet up, just you and me{end}", "{hi} can you come to {place} alone{end}", "let's meet at {place} {when}, just the two of us{end}",
        "i can pick you up {when}, come by yourself{end}", "come over to {place} {when}, nobody else will be there{end}",
        "meet me alone {when}{end}", "don't bring your friends, i only want to meet you{end}", "i'll drive to you {when} and we go to {place}, only us{end}",
        "can you sneak out {when} and meet me at {place}{end}", "i want to meet you in person, without anyone else{end}",
        "are you free {when}, we could be alone at {place}{end}", "say you are at a friend's house and come to {place}{end}",
    ],
    "isolates_from_family": [
        "{family} don't understand you like i do{end}", "you can't trust {family}, only me{end}", "{family} would only be angry, talk to me instead{end}",
        "i'm the only one who really cares about you{end}", "{hi} {family} don't really love you{end}", "you don't need {family}, you have me{end}",
        "{family} treat you like a baby, i don't{end}", "your friends are not real friends, i am{end}", "stop listening to {family}{end}",
        "nobody at home gets you, but i do{end}", "{family} are trying to keep us apart{end}", "you are better off without {family}{end}",
    ],
    NONE: [
        "how old is your {pet}{end}", "{hi} how old is this {product}, does it still have a guarantee{end}", "our school is 100 years old this year{end}",
        "what age group is the under 12 tournament{end}", "the film is rated 12, is that ok for {name}{end}", "keep the surprise party for {name} a secret{end}",
        "don't tell {name} about the birthday cake, it's a surprise{end}", "secret santa is on {day}{end}", "the secret is to add more butter{end}",
        "{hi} don't forget to delete the old file before you upload{end}", "send me the photos of the {thing}{end}", "can you send a picture of the {thing}{end}",
        "i took a photo of the {thing}, will send it later{end}", "the team photo is on {day}, wear the blue shirt{end}", "meet you at practice with {team} at {time}{end}",
        "see you at {place} {when} with {team}{end}", "let's all meet at the library on {day}, {name} is coming too{end}", "my mum will drive us to {place} {when}{end}",
        "training is at {time} on {day}, parents welcome{end}", "ask your parents first, ok{end}", "tell your mum i said hi{end}", "my parents are so strict about bedtime lol{end}",
        "dinner with {family} at {time}{end}", "my brother is annoying but i love him{end}", "do you want to play {game} {when}{end}", "{hi} join my {game} server{end}",
        "gg, that was a good round of {game}{end}", "{name} got {gift} for their birthday{end}", "how much is the {product}, do you ship it{end}",
        "use code SPRING for ten percent off the {product}{end}", "the {product} arrived today, thanks{end}", "is the {product} still available{end}",
        "did you do the {subject} homework{end}", "what did you get for question 3 in {subject}{end}", "the {subject} test is on {day}{end}",
        "the app crashed again, did you update {app}{end}", "the class group is on {app}, {name}'s mum made it{end}", "{app} is down for everyone today{end}",
        "bring water and a snack {when}{end}", "good luck with the match{end}", "haha that's so funny{end}", "ok see you on {day}{end}", "thanks{end}", "lol{end}", "yes{end}", "no worries{end}",
        "what's for lunch{end}", "i'm tired today{end}", "did you see the game last night{end}", "the bus is late again{end}", "can i borrow your {subject} notes{end}",
        "{hi} it's raining so practice is inside today{end}", "your daughter did great today at training{end}", "we pay by card at the shop{end}", "i'll be home at {time}, love you{end}",
        "please pick up milk on the way{end}", "grandma is visiting {when}{end}", "the gift shop closes at {time}{end}", "you can trust the instructions in the manual{end}",
        "i'm 40 today, come to my party with the family{end}", "what's the wifi password{end}", "the doctor asked for your age on the form, fill it in with mum{end}",
        "who is coming {when}{end}", "are you and {name} friends{end}", "hi, how are you{end}", "how was your day{end}", "nice to meet you all{end}",
    ],
}

HELD_OUT = {
    "asks_age": ["{hi} may i know what your age is{end}", "just curious, how old would you be{end}", "which birthday will you celebrate next, 13 or 14{end}", "u seem like ur 13, am i right{end}"],
    "asks_secrecy": ["whatever you do, {adult} can't know about us{end}", "let's not let {adult} hear of this, ok{end}", "erase what we wrote so that {adult} won't read it{end}", "swear that this stays private between the two of us{end}"],
    "moves_to_other_app": ["i prefer chatting on {app}, what is your username{end}", "could we go over to {app} to talk more privately{end}", "find me on {app} and send me a message there{end}", "text me on {app} from now on{end}"],
    "offers_gifts": ["i want to give you {gift} as a present{end}", "would you like {gift}, it's on me{end}", "pick anything from the shop, i'll pay for it{end}", "i could order {gift} for you today{end}"],
    "asks_photos": ["i want to see you, got any selfies{end}", "could you share a photo of yourself{end}", "snap a pic of you and send it to me{end}", "let me see how you look, post a picture{end}"],
    "proposes_meeting_alone": ["why don't we see each other {when}, only us two{end}", "come and see me at {place} by yourself{end}", "i'll wait for you at {place} {when}, come without your friends{end}", "would you meet me in private {when}{end}"],
    "isolates_from_family": ["{family} will never get you the way i do{end}", "forget {family}, i'm the one you can count on{end}", "{family} are against you, i am on your side{end}", "nobody in your family cares, only i do{end}"],
    NONE: [
        "what age is the {pet} from the shelter{end}", "how old is your house{end}", "this recipe is my grandma's secret{end}", "shh, the party for {name} is a surprise, don't spoil it{end}",
        "share the pictures of the school trip with {team}{end}", "here is a picture of the {thing}{end}", "could you photograph the {thing} for me{end}",
        "{team} will meet at {place} on {day}{end}", "we meet in front of the gym at {time}, the coach brings {team}{end}", "i bought {name} {gift} for christmas{end}",
        "the store gives you a free {product} with every order{end}", "i have to ask my parents before i can come{end}", "my family goes hiking on {day}{end}", "has {app} changed its logo{end}",
        "the parents' group moved to {app}, everyone was added by the school{end}", "can you help me with {subject}{end}", "shall we play {game} with {team}{end}",
        "good morning, practice starts at {time}{end}", "i lost my bus ticket{end}", "that was a great film{end}", "can't wait for the holidays{end}", "see you{end}",
        "how many players are on your team{end}", "please send the invoice for the {product}{end}",
    ],
}


def fill(template: str, random_: random.Random) -> str:
    """The template with its slots drawn, tidied, sometimes capitalised or with a letter missing, as people write."""
    text = re.sub(r"\{(\w+)\}", lambda slot: random_.choice(SLOTS[slot.group(1)]), template)
    text = re.sub(r"\s+", " ", text).strip()
    if random_.random() < 0.3:
        text = text[0].upper() + text[1:]
    if random_.random() < 0.1 and len(text) > 12:
        at = random_.randrange(1, len(text) - 1)
        text = text[:at] + text[at + 1 :]
    return text


def messages(templates: dict, fills: int, random_: random.Random) -> list[tuple[str, str, str]]:
    """(text, label or NONE, template): up to `fills` different fillings of every template, in a fixed order."""
    made = {}
    for label, choices in templates.items():
        for template in choices:
            for _ in range(fills):
                made.setdefault(fill(template, random_), (label, template))
    return [(text, label, template) for text, (label, template) in made.items()]


def conversations(pool: dict[str, list], count: int, random_: random.Random) -> list[tuple[list, bool]]:
    """`count` conversations of 8 to 50 messages drawn from `pool` (label -> messages of any form), and whether each is concerning.

    Half hold three to seven of the patterns, one message each, among harmless ones. The rest hold none, or one that stands
    alone: an age or a photo asked for once is ordinary talk.
    """
    made = []
    for at in range(count):
        concerning = at % 2 == 0
        labels = random_.sample(LABELS, random_.randint(3, len(LABELS)) if concerning else random_.choice([0, 0, 1]))
        length = random_.randint(8, 50)
        chat = [random_.choice(pool[NONE]) for _ in range(length)]
        for place, label in zip(sorted(random_.sample(range(length), len(labels))), labels):
            chat[place] = random_.choice(pool[label])
        made.append((chat, concerning))
    return made

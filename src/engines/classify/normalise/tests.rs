use proptest::prelude::*;

use super::*;

/// Frequent words first, as vocabularies have them.
struct Words(Vec<&'static str>);

impl Vocabulary for Words {
    fn rank(&self, word: &str) -> Option<u32> {
        self.0.iter().position(|known| *known == word).map(|at| 2000 + at as u32)
    }
}

fn words() -> Words {
    Words(
        "the of and in to was he is as for on with that it his by at from her she you had an were but be this are not they one have i a me my we old \
         how hello keep secret between us your parents don tell send picture meet age love kiss gift card photo name room level ever star some is \
         east us usa nos pot cop ist code with out without author authors someone goto am pm coop email ass hoc word words hi ok maxi see uss email facebook"
            .split_whitespace()
            .collect(),
    )
}

fn all() -> Normalise {
    Normalise { version: Normalise::VERSION, steps: Step::ALL.to_vec() }
}

#[track_caller]
fn reads(text: &str, expected: &str) {
    assert_eq!(all().normaliser(&words()).apply(text), expected, "{text:?}");
}

#[test]
fn disguised_words_read_as_a_person_reads_them() {
    for disguised in [
        // Other forms of the letters.
        "ｈｅｌｌｏ",
        "𝐡𝐞𝐥𝐥𝐨",
        "𝒽ℯ𝓁𝓁ℴ",
        "𝕙𝕖𝕝𝕝𝕠",
        "ⓗⓔⓛⓛⓞ",
        "🅗🅔🅛🅛🅞",
        "🅷🅴🅻🅻🅾",
        "🄷🄴🄻🄻🄾",
        "🇭🇪🇱🇱🇴",
        "ʜᴇʟʟᴏ",
        "HeLLo",
        // Letters of other scripts.
        "hеllо",
        "һеӏӏо",
        "hеllo",
        "hｅⅼlo",
        "ΗELLΟ",
        "hełło",
        "hèllö",
        // Invisible and blank letters, marks.
        "h\u{200b}e\u{200d}l\u{2060}l\u{feff}o",
        "h\u{ad}e\u{ad}llo",
        "h\u{e0065}ello",
        "h\u{fe0f}ello",
        "h\u{180b}ello",
        "h\u{336}e\u{336}l\u{336}l\u{336}o\u{336}",
        "h̷̢̛͈e̵͎͝l̸̲̈́l̷̫̆o̴̦͘",
        "h\u{20dd}e\u{20dd}llo",
        // Something between the letters.
        "h e l l o",
        "h.e.l.l.o",
        "h-e-l-l-o",
        "h'e'l'l'o",
        "h’e’l’l’o",
        "hːeːlːlːo",
        "hـeـlـlـo",
        "hªeªlªlªo",
        "h²e²l²l²o",
        "ʰᵉˡˡᵒ",
        "h×e×l×l×o",
        "h①e①l①l①o",
        "h\u{fffd}e\u{fffd}llo",
        "\u{202e}olleh",
        "h_e_l_l_o",
        "h*e*l*l*o",
        "h - e - l - l - o",
        "h😘e😘l😘l😘o",
        "he😘llo",
        "he-llo",
        "hel.lo",
        "h★e★l★l★o",
        "h\u{2800}e\u{2800}l\u{2800}l\u{2800}o",
        "h\u{3164}e\u{3164}l\u{3164}l\u{3164}o",
        "h…e…l…l…o",
        "🇭 🇪 🇱 🇱 🇴",
        "h  e  l  l  o",
        // Digits and signs for letters.
        "h3ll0",
        "he11o",
        "h3||o",
        "H3LLO",
        "h€llo",
        "h 3 l l 0",
        "ｈ３ｌｌ０",
        // Typed control tokens.
        "[CLS]hello[SEP]",
        "hello</s>",
        "<|im_start|>hello",
        "[mask] hello",
    ] {
        let read = all().normaliser(&words()).apply(disguised).trim().to_owned();
        assert_eq!(read, "hello", "{disguised:?}");
    }
}

/// As the bidirectional algorithm shows them, of which each of these is an application by hand.
#[test]
fn letters_are_read_where_they_are_shown() {
    let backwards =
        |word: &str, between: (&str, &str)| word.chars().rev().map(|c| format!("{}{c}{}", between.0, between.1)).collect::<String>();
    for (open, close) in [("\u{2067}", "\u{2069}"), ("\u{202b}", "\u{202c}"), ("\u{2068}\u{200f}", "\u{2069}")] {
        // Latin letters run from left to right within everything but an override.
        reads(&format!("say {open}how old are you{close} now"), "say how old are you now");
        // What they are pieces of runs from right to left: each in an isolate, or between marks.
        for between in [("\u{2066}", "\u{2069}"), ("\u{2068}", "\u{2069}"), ("", "\u{200f}"), ("\u{200f}", ""), ("\u{61c}", "")] {
            reads(&format!("{open}{}{close}", backwards("hello", between)), "hello");
        }
        // An override within turns them around, an isolate within the override does not turn back.
        reads(&format!("say {open}\u{202e}uoy era dlo woh\u{202c}{close} now"), "say how old are you now");
    }
    // An isolate from left to right keeps its letters within an override.
    reads("\u{202e}\u{2066}hello\u{2069}", "hello");
    reads("\u{202e}\u{2067}olleh\u{2069}", "olleh");
    // A left-to-right override, and what ends nothing.
    reads("\u{202d}hello\u{202c}\u{2069}\u{202c}", "hello");
    reads("\u{2068}hello\u{2069} how \u{2068}old\u{2069}", "hello how old");
    // Names that a program puts into isolates, as it should; numbers within.
    reads(
        "how old is \u{2068}\u{5d3}\u{5e0}\u{5d4} 12 \u{5db}\u{5d4}\u{5df}\u{2069}",
        "how old is \u{5d3}\u{5e0}\u{5d4} 12 \u{5db}\u{5d4}\u{5df}",
    );
    reads("\u{2067}\u{5e9}\u{5b8}\u{5c1}\u{5dc}\u{2069} hello", "\u{5e9}\u{5b8}\u{5c1}\u{5dc} hello");
}

#[test]
fn words_are_divided_where_a_person_divides_them() {
    reads("how😘old😘are😘you", "how old are you");
    reads("hi,😘 how😘 old😘 are😘 you?😘", "hi, how old are you?");
    reads("h o w  o l d  a r e  y o u", "how old are you");
    reads("h o w o l d a r e y o u", "how old are you");
    reads("h0w 0ld 4re y0u", "how old are you");
    reads("k33p th1s 53cr3t", "keep this secret");
    reads("hi, [CLS] how [CLS] old", "hi, how old");
    reads("h0w4r3y0u", "how are you");
    reads("$end me y0ur p1cture", "send me your picture");
    reads("l3t m3 s33", "l3t me see");
    reads("1 l0v3 y0u 4 lot", "i love you a lot");
    reads("4 of you, 1 of m3, ps4", "4 of you, 1 of m3, ps4");
    reads("i l o v e y o u", "i love you");
    reads("h  o  w o  l  d", "how old");
    for divider in ["\u{fffd}", "\u{e000}", "\u{200b}", "\u{0}", "\u{ad}", "×", "÷", "¬", "™", "①", "℃", "ー", "\u{b}", "\u{85}"]
    {
        reads(&["how", "old", "are", "you"].join(divider), "how old are you");
    }
    reads("say \u{202e}uoy era dlo woh\u{202c} now", "say how old are you now");
    reads("\u{202e}dlo woh\nare you", "how old\nare you");
    reads("ho w o ld a re y ou", "how old are you");
    reads("ho.w o.ld", "how old");
    reads("se cr et, ok", "secret ok");
    reads("is it ok to go on as it is", "is it ok to go on as it is");
    reads("аge", "age");
    reads("мy агe", "my are");
}

#[test]
fn ordinary_texts_stay() {
    for text in [
        "",
        "see you at 10.30, e.g. in the u.s.a.!",
        "3 apples, 2nd floor, 5pm, 10am, 1st of may, 4th, 100km",
        "https://example.com/a_b?c=d&e=1 and www.example.com",
        "mail me@home.net, @anna",
        "it's a well-known one: don't",
        "room5 level3 5star 4ever mp3 covid19 b2b h2o u2",
        "m3 in 2 rooms",
        "a, b, c and d",
        "with-out the author(s), some/one or some-one",
        "a b",
        "20°c, 50 % of £5, $20 and us$20",
        "1 + 1 = 2 (two)",
        "wait… \"what\" – really?",
        "и она, и кот пошли домой. привет!",
        "привет hello, как дела",
        "γεια σου, τι κάνεις",
        "مرحبا، كيف حالك",
        "سلام می\u{200c}خواهم",
        "你好 吗 我 很 好",
        "こんにちは、テストです",
        "안녕하세요",
        "नमस्ते दुनिया",
        "ዕድሜህ ስንት ነው",
        "schön, så er det født; łódź, ça va?",
        "tiếng việt rất đẹp",
        "שָׁלוֹם",
    ] {
        let normalised = all();
        assert!(matches!(normalised.normaliser(&words()).apply(text), Cow::Borrowed(same) if same == text), "{text:?}: {:?}", {
            normalised.normaliser(&words()).apply(text)
        });
    }
}

#[test]
fn what_holds_nothing_to_read_becomes_empty() {
    for text in ["😘😘😘", " \u{200b}\u{2800} ", "\u{3164}", "🇬🇧", "[CLS] [SEP]", "👩‍👩‍👧‍👦 ❤️"] {
        assert_eq!(all().normaliser(&words()).apply(text).trim(), "", "{text:?}");
    }
    reads("see you 🇬🇧🎉", "see you ");
}

#[test]
fn each_step_is_done_only_when_it_is_named() {
    let only = |step| Normalise { version: Normalise::VERSION, steps: vec![step] };
    for (step, text, expected) in [
        (Step::Nfkc, "ｈｅ\u{200b}llo", "he\u{200b}llo"),
        (Step::Invisible, "ｈe\u{200b}llo", "ｈello"),
        (Step::Case, "Hello", "hello"),
        (Step::Leet, "h3llo Hello", "hello Hello"),
        (Step::Spaced, "h e l l o h3llo", "hello h3llo"),
        (Step::Confusables, "hеllo", "hello"),
        (Step::Emoji, "how😘old", "how old"),
        (Step::Control, "how[CLS]old", "how old"),
        (Step::Marks, "h\u{336}ello", "hello"),
    ] {
        assert_eq!(only(step).normaliser(&words()).apply(text), expected, "{step:?}");
        let mut rest = all();
        rest.steps.retain(|other| *other != step);
        assert_ne!(rest.rule(), all().rule());
    }
}

#[test]
fn a_manifest_names_a_version_and_steps() {
    assert_eq!(all().rule(), "v2:control,invisible,nfkc,marks,emoji,confusables,leet,spaced,case");
    assert_eq!(Normalise { version: Normalise::VERSION, steps: vec![Step::Case, Step::Nfkc] }.rule(), "v2:nfkc,case");
    assert!(Normalise { version: 3, steps: vec![Step::Case] }.check().unwrap_err().contains("version 3"));
    assert!(Normalise { version: Normalise::VERSION, steps: vec![] }.check().is_err());
    assert!(Normalise { version: Normalise::VERSION, steps: vec![Step::Case, Step::Case] }.check().is_err());
    for step in Step::ALL {
        assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
    }
}

/// What this thread has had of processors, which does not count what others take from it.
fn on_the_processor() -> std::time::Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(said.split(' ').next().unwrap().parse().unwrap())
}

/// Twice the text must not take four times as long. Texts that were bad for some step.
#[test]
fn time_is_linear() {
    for unit in
        ["z ", "a-", "h 3 ", "😘", "a😘", "q1", "h0w4r3y0u", "е", "hе", "[", "<|", "a\u{301}", "\u{301}", "!", "@", "🇬", "ß.", "i.a "]
    {
        let time = |bytes: usize| {
            let text = unit.repeat(bytes / unit.len());
            let started = on_the_processor();
            std::hint::black_box(all().normaliser(&words()).apply(&text));
            on_the_processor() - started
        };
        let (half, whole) = ((0..4).map(|_| time(8 << 10)).min().unwrap(), (0..4).map(|_| time(32 << 10)).min().unwrap());
        assert!(whole < half * 12 + std::time::Duration::from_millis(20), "{unit:?}: {half:?}, four times as much: {whole:?}");
    }
}

/// Letters, signs and disguises that the steps look for, more often than chance has them.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z]{1,6}",
        2 => "[a-zA-Z0-9@$!|+.,_ '-]{1,8}",
        2 => prop::sample::select(vec![
            " ", "  ", ".", "-", "😘", "🇬", "🅰", "\u{200b}", "\u{301}", "\u{336}", "\u{fffc}", "\u{fffd}", "[CLS]", "<s>", "<|x|>", "е", "о", "ж", "ø", "ﷺ", "ﬃ",
            "h e l l o", "h3ll0", "i", "a", "1", "3", "\u{2800}", "…", "\u{20dd}", "\n", "ⓗ", "한", "’", "İ", "ß", "Ⅷ", "𝐡", "\u{fe0f}", "ᴇ",
        ])
        .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn normalising_twice_is_normalising_once_and_stays_within_its_bound(text in texts()) {
        let normalise = all();
        let words = words();
        let once = normalise.normaliser(&words).apply(&text).into_owned();
        prop_assert!(once.len() <= 11 * text.len(), "{} bytes of {}", once.len(), text.len());
        let twice = normalise.normaliser(&words).apply(&once);
        prop_assert_eq!(&*twice, &once);
    }
}

//! One source file as the architecture test sees it: its module, its code without comments, texts and tests, and the paths in it.

/// A file of `src/`.
pub struct Source {
    /// Below `src/`.
    pub path: String,
    /// `["engines", "gpu", "device"]`.
    pub module: Vec<String>,
    pub text: String,
    /// Without comments, the contents of texts, and items that only tests compile.
    pub code: String,
}

/// The room that a path leads into: its first part, with the engine's name for engines. The crate's own root is `lib`.
pub fn room_of(path: &[String]) -> String {
    match path {
        [] => "lib".to_owned(),
        [engines, engine, ..] if engines == "engines" => format!("engines::{engine}"),
        [room, ..] => room.clone(),
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        let code = without_tests(&without_comments_and_texts(text));
        Self { path: path.to_owned(), module, text: text.to_owned(), code }
    }

    /// Every path of this crate that the code names, from the crate's root.
    pub fn imports(&self) -> Vec<Vec<String>> {
        let tokens = tokens(&self.code);
        let mut found = Vec::new();
        for at in 0..tokens.len() {
            let starts = at == 0 || tokens[at - 1] != "::";
            if starts && matches!(tokens[at], "crate" | "super" | "nightlight") && tokens.get(at + 1) == Some(&"::") {
                let base = if tokens[at] == "super" { self.parent(&self.module) } else { Vec::new() };
                self.tree(&tokens, &mut (at + 2), base, &mut found);
            }
        }
        found
    }

    /// Whether the code names a foreign crate; a module of the same name that this file declares or imports is not it.
    pub fn names_crate(&self, name: &str) -> bool {
        let tokens = tokens(&self.code);
        let declared = tokens.windows(2).any(|pair| pair == ["mod", name]);
        let imported = self.imports().iter().any(|path| path.last().is_some_and(|last| last == name));
        !declared && !imported && roots(&tokens).contains(&name)
    }

    fn parent(&self, module: &[String]) -> Vec<String> {
        module.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default()
    }

    /// A path or a tree of paths, `base` being what stands before it.
    fn tree(&self, tokens: &[&str], at: &mut usize, mut base: Vec<String>, found: &mut Vec<Vec<String>>) {
        loop {
            match tokens.get(*at) {
                Some(&"{") => {
                    *at += 1;
                    while let Some(&token) = tokens.get(*at) {
                        match token {
                            "}" => break,
                            word if word == "{" || is_word(word) => self.tree(tokens, at, base.clone(), found),
                            _ => *at += 1,
                        }
                    }
                    *at += 1;
                    return;
                }
                Some(&"super") => base = self.parent(&base),
                Some(&"self") => {}
                Some(&word) if is_word(word) => base.push(word.to_owned()),
                _ => {
                    found.push(base);
                    return;
                }
            }
            *at += 1;
            if tokens.get(*at) != Some(&"::") {
                if tokens.get(*at) == Some(&"as") {
                    *at += 2;
                }
                found.push(base);
                return;
            }
            *at += 1;
        }
    }
}

/// The first names of all paths.
fn roots<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at] != "use" {
            let inside = at > 0 && (tokens[at - 1] == "." || (tokens[at - 1] == "::" && at > 1 && is_word(tokens[at - 2])));
            if tokens.get(at + 1) == Some(&"::") && !inside {
                found.push(tokens[at]);
            }
            at += 1;
            continue;
        }
        // In `use a::{b::c}` only `a` is a root, in `use {a::b, c::d}` both `a` and `c` are.
        let end = at + tokens[at..].iter().position(|&token| token == ";").unwrap_or(tokens.len() - at);
        let tree = &tokens[at + 1..end];
        let start = tree.iter().take_while(|&&token| token == "::").count();
        let mut depth = 0usize;
        let grouped = tree.get(start) == Some(&"{");
        for (place, token) in tree.iter().enumerate().skip(start) {
            match *token {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                word if grouped && depth == 1 && is_word(word) && matches!(tree[place - 1], "{" | ",") => found.push(word),
                word if !grouped && place == start => found.push(word),
                _ => {}
            }
        }
        at = end;
    }
    found
}

fn is_word(token: &str) -> bool {
    token.chars().all(|character| character.is_alphanumeric() || character == '_')
}

/// Words, `::`, and single characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|character: char| !(character.is_alphanumeric() || character == '_')).unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// Comments become a space, texts and characters empty.
fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let word_before = code.chars().last().is_some_and(|last| last.is_alphanumeric() || last == '_');
        let raw = raw_text(rest).filter(|_| !word_before);
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw {
            length
        } else if character == '"' {
            quoted(rest)
        } else if let Some(length) = character_literal(rest) {
            length
        } else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        };
        code.push_str(if rest.starts_with('/') { " " } else { "\"\"" });
        rest = &rest[skipped..];
    }
    code
}

/// Length of the nested block comment that `text` begins with.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of the quoted text that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the raw text (`r"…"`, `br#"…"#`) that `text` begins with.
fn raw_text(text: &str) -> Option<usize> {
    let start = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let body = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// Length of the character that `text` begins with; `None` for a lifetime.
fn character_literal(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let length = match inner.strip_prefix('\\') {
        Some(escape) => 1 + escape.chars().next()?.len_utf8() + escape[1..].find('\'')?,
        None => inner.chars().next()?.len_utf8(),
    };
    inner.get(length..)?.starts_with('\'').then_some(length + 2)
}

/// Takes out every item under a `#[cfg(…test…)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(") {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let end = matching(from, 1, '[', ']');
        let attribute = &from[..end];
        let for_tests = tokens(attribute).contains(&"test") && !tokens(attribute).contains(&"not");
        if for_tests {
            rest = &from[end + item(&from[end..])..];
        } else {
            kept.push_str(attribute);
            rest = &from[end..];
        }
    }
    kept.push_str(rest);
    kept
}

/// Length of the item that `code` begins with: up to its `;`, or to the end of its braces.
fn item(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' => {
                let end = matching(code, at, '{', '}');
                // `use a::{b};` goes on to its semicolon.
                return if code[end..].trim_start().starts_with(';') { end + code[end..].find(';').unwrap_or(0) + 1 } else { end };
            }
            // A field or variant of its own line ends with a comma.
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The place behind the bracket that closes the one at `from`.
fn matching(code: &str, from: usize, open: char, close: char) -> usize {
    let mut depth = 0usize;
    for (at, character) in code[from..].char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
            if depth == 0 {
                return from + at + 1;
            }
        }
    }
    code.len()
}

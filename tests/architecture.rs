//! The order of the modules, read off the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Modules in dependency order: each may use only those before it. What stands on one line is one layer.
const ORDER: &[&[&str]] = &[
    &["error"],
    &["data"],
    &["kernel", "graph"],
    &["ops", "autodiff"],
    &["nn"],
    &["models"],
    &["optim"],
    &["plan"],
    &["gpu"],
    &["session"],
    &["checkpoint"],
    &["generate"],
    &["pretrained"],
    &["train"],
    &["tasks"],
    &["testing"],
    &["catalogue"],
    &["measure"],
    &["cli"],
    &["bin"],
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

fn sources(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root().join(folder), ending, &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The module a source file belongs to: the first folder or file below `src`.
fn module(file: &str) -> &str {
    let below = file.strip_prefix("src/").unwrap_or(file);
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

fn layer(module: &str) -> usize {
    ORDER.iter().position(|layer| layer.contains(&module)).unwrap_or_else(|| panic!("module {module} is not in ORDER"))
}

/// The code of a file without comments and without the tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\n").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules of this crate that a file names: `crate::NAME` and `use crate::{NAME, …}`.
fn used_modules(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                } else if depth == 0 && c == ',' {
                    word.clear();
                } else if !word.is_empty() {
                    if c == ':' {
                        used.push(std::mem::take(&mut word));
                    }
                    if c != '{' {
                        word.clear();
                    }
                }
            }
        } else {
            used.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    used.retain(|name| ORDER.iter().any(|layer| layer.contains(&name.as_str())));
    used
}

#[test]
fn modules_use_only_those_before_them() {
    for (file, text) in sources("src", "rs") {
        if file == "src/lib.rs" || file.ends_with("/tests.rs") {
            continue;
        }
        let own = module(&file);
        for used in used_modules(&code(&text)) {
            assert!(layer(&used) <= layer(own), "{file}: module {own} uses {used}, which comes after it");
        }
    }
}

#[test]
fn only_gpu_and_session_name_wgpu() {
    for (file, text) in sources("src", "rs") {
        let allowed = ["gpu", "session"].contains(&module(&file));
        assert!(allowed || !code(&text).contains("wgpu::"), "{file} names wgpu");
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for (file, text) in sources("src", "rs") {
        let first = text.lines().find(|line| !line.starts_with("#!["));
        assert!(first.is_some_and(|line| line.starts_with("//! ")), "{file} has no //! line");
    }
    for (file, text) in sources("shaders", "wgsl") {
        assert!(text.starts_with("// "), "{file}: the first line is not the formula");
    }
}

#[test]
fn every_operation_is_tested_beside_its_code_and_every_shader_is_used() {
    let ops: Vec<(String, String)> =
        sources("src/ops", "rs").into_iter().filter(|(file, _)| file != "src/ops/mod.rs").collect();
    for name in wgrad::ops::NAMES {
        let own: Vec<&String> = ops
            .iter()
            .filter(|(file, _)| *file == format!("src/ops/{name}.rs") || file.starts_with(&format!("src/ops/{name}/")))
            .map(|(_, text)| text)
            .collect();
        assert!(!own.is_empty(), "operation {name} has no file");
        assert!(own.iter().any(|text| text.contains("#[test]")), "operation {name} has no test");
    }
    let code: String = sources("src", "rs").into_iter().map(|(_, text)| text).collect();
    for (file, _) in sources("shaders", "wgsl") {
        let name = file.trim_start_matches("shaders/").trim_end_matches(".wgsl");
        let used = match name.strip_prefix("lib/") {
            Some(name) => {
                let name = name.trim_start_matches("subgroups/").trim_start_matches("lanes/");
                sources("shaders", "wgsl").iter().any(|(_, text)| text.contains(&format!("//#import {name}\n")))
            }
            None => code.contains(&format!("shader!(\"{name}\")")),
        };
        assert!(used, "{file} is used by nothing");
    }
}

#[test]
fn nothing_is_left_open() {
    let words = ["todo!", "unimplemented!", "#[ignore", "TODO", "FIXME"];
    let all = sources("src", "rs").into_iter().chain(sources("shaders", "wgsl")).chain(sources("examples", "rs"));
    for (file, text) in all {
        for word in words {
            assert!(!text.contains(word), "{file} contains {word}");
        }
    }
}

//! Compares our JA4 with published vectors: `cargo run --example ja4 -- vectors.json`.
//!
//! The file is a JSON array of objects with `hello_hex` (whole TLS records) and `expected` (the JA4).
//! Exit status: 0 when all agree, 1 on any difference, 2 when the file cannot be used.

use std::{env, fs, process::ExitCode};

use sekisho::parse::{HelloLimits, HelloRead, read_hello};
use serde_json::Value;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("ja4: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let path = env::args_os().nth(1).ok_or("usage: ja4 VECTORS.json")?;
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let vectors: Vec<Value> = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if vectors.is_empty() {
        return Err(format!("{}: no vectors", path.display()));
    }

    let mut agreeing = 0;
    for (index, vector) in vectors.iter().enumerate() {
        let expected = text_of(vector, "expected").map_err(|error| format!("vector {index}: {error}"))?;
        let hello =
            text_of(vector, "hello_hex").and_then(bytes_of).map_err(|error| format!("vector {index}: {error}"))?;
        let found = match read_hello(&hello, &HelloLimits::default()) {
            Ok(HelloRead::Hello(hello)) => hello.ja4.into_string(),
            Ok(HelloRead::Incomplete) => "incomplete".to_owned(),
            Err(fault) => fault.to_string(),
        };
        if found == expected {
            agreeing += 1;
        } else {
            println!("vector {index}: expected {expected}, found {found}");
        }
    }
    println!("{agreeing} of {} agree", vectors.len());
    Ok(agreeing == vectors.len())
}

fn text_of<'a>(vector: &'a Value, key: &str) -> Result<&'a str, String> {
    vector[key].as_str().ok_or_else(|| format!("no text under `{key}`"))
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, String> {
    let (pairs, odd) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    match bytes {
        Some(bytes) if odd.is_empty() => Ok(bytes),
        Some(_) | None => Err("not hexadecimal".to_owned()),
    }
}

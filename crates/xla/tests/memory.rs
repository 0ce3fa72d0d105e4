//! With a plugin: what steps leave behind. Alone in its process, whose memory it measures.

#![cfg(target_os = "linux")]

mod common;

use common::*;
use logo_ssl_xla::{Argument, Client, ElementType, Executable};

const SIDE: usize = 256;
/// What may be added to the process while it steps, far less than the arrays of the steps.
const BOUND: usize = 16 << 20;

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn step(
    client: &Client,
    program: &Executable,
    state: logo_ssl_xla::Buffer,
) -> logo_ssl_xla::Buffer {
    let bytes = vec![0; 4 * SIDE * SIDE];
    let data = client.upload(bytes, ElementType::F32, &[SIDE, SIDE], 0).unwrap();
    let mut outputs = run(program, vec![Argument::Donated(state), Argument::Kept(&data)]);
    outputs.pop().unwrap().read().unwrap().wait().unwrap();
    outputs.pop().unwrap()
}

/// By how much the process grows over many turns, after some that fill its pools.
fn grown(turns: usize, mut turn: impl FnMut()) -> usize {
    (0..100).for_each(|_| turn());
    let before = resident();
    (0..turns).for_each(|_| turn());
    resident().saturating_sub(before)
}

#[test]
fn steps_unread_copies_and_errors_leave_no_memory_behind() {
    let Some(client) = client() else { return };
    let text = STEP.replace("2x3", &format!("{SIDE}x{SIDE}"));
    let program = compile(&client, &text);
    let mut state = Some(upload(&client, &vec![1.0; SIDE * SIDE], &[SIDE, SIDE]));
    let of_steps = grown(1000, || state = state.take().map(|state| step(&client, &program, state)));
    let buffer = state.unwrap();
    let of_copies = grown(1000, || drop(buffer.read().unwrap()));
    let of_errors = grown(1000, || {
        client.compile("no program", &Default::default()).unwrap_err();
    });
    eprintln!("grown by {of_steps} in steps, {of_copies} in copies and {of_errors} in errors");
    assert!(of_steps < BOUND && of_copies < BOUND && of_errors < BOUND);
}

//! A plugin for tests, built by them, in which everything happens as late as the interface allows.
//!
//! An upload is read and a download written only when its event is waited for. It ends the process
//! when an object is used after its end or destroyed twice, or when memory that is lent to it
//! changes too early. The version of its platform is the number of objects that are alive.
//!
//! A program is a word that says when its run fails, a code and a message: `start` for the call,
//! `run` for the end of the run alone, `output` for the output, else not at all. Its one output,
//! `f32[2]`, is the number of the arguments and the sum of the indices that are kept.

use std::collections::HashMap;
use std::slice::from_raw_parts;
use std::sync::{Mutex, OnceLock};

/// A struct of the interface, as words.
type Words = *mut usize;
type Entry = extern "C" fn(Words) -> usize;

type Failure = Option<(usize, String)>;

#[derive(Clone)]
enum Object {
    Client,
    Executable,
    Error(usize, String),
    Program(String, Failure),
    Buffer(Vec<u8>, Failure),
    Event(Failure, Late),
}

/// What happens when an event is waited for.
#[derive(Clone)]
enum Late {
    Nothing,
    /// This much memory is read, whose sum must be this.
    Read(usize, usize, usize),
    /// These bytes are written.
    Write(usize, Vec<u8>),
}

static ALIVE: Mutex<(usize, Option<HashMap<usize, Object>>)> = Mutex::new((0, None));

fn broken(what: &str) -> ! {
    eprintln!("the interface was used wrongly: {what}");
    std::process::abort()
}

fn add(object: Object) -> usize {
    let mut alive = ALIVE.lock().unwrap();
    alive.0 += 16;
    let name = alive.0;
    alive.1.get_or_insert_default().insert(name, object);
    name
}

fn get(name: usize) -> Object {
    let alive = ALIVE.lock().unwrap();
    let object = alive.1.as_ref().and_then(|all| all.get(&name));
    object.cloned().unwrap_or_else(|| broken("an object is used after its end"))
}

fn error(failure: Failure) -> usize {
    failure.map_or(0, |(code, message)| add(Object::Error(code, message)))
}

fn word(args: Words, at: usize) -> usize {
    unsafe { *args.add(at) }
}

fn set(args: Words, at: usize, value: usize) {
    unsafe { *args.add(at) = value }
}

fn text(args: Words, text: &'static str) {
    set(args, 3, text.as_ptr() as usize);
    set(args, 4, text.len());
}

fn sum(data: usize, length: usize) -> usize {
    unsafe { from_raw_parts(data as *const u8, length) }.iter().map(|byte| *byte as usize).sum()
}

fn is_client(object: &Object) -> bool {
    matches!(object, Object::Client)
}

extern "C" fn destroy(args: Words) -> usize {
    let mut alive = ALIVE.lock().unwrap();
    let all = alive.1.get_or_insert_default();
    match all.remove(&word(args, 2)) {
        None => broken("an object is destroyed twice"),
        Some(Object::Client) if !all.is_empty() && !all.values().any(is_client) => {
            broken("the last client ends before its objects")
        }
        Some(_) => 0,
    }
}

extern "C" fn error_message(args: Words) -> usize {
    let Object::Error(_, message) = get(word(args, 2)) else { broken("no error") };
    text(args, message.leak());
    0
}

extern "C" fn error_code(args: Words) -> usize {
    let Object::Error(code, _) = get(word(args, 2)) else { broken("no error") };
    set(args, 3, code);
    0
}

extern "C" fn nothing(_: Words) -> usize {
    0
}

extern "C" fn event_is_ready(args: Words) -> usize {
    let Object::Event(_, late) = get(word(args, 2)) else { broken("no event") };
    set(args, 3, matches!(late, Late::Nothing) as usize);
    0
}

extern "C" fn event_await(args: Words) -> usize {
    let name = word(args, 2);
    let Object::Event(failure, late) = get(name) else { broken("no event") };
    std::thread::sleep(std::time::Duration::from_millis(5));
    match late {
        Late::Read(data, length, before) if sum(data, length) != before => broken("early change"),
        Late::Write(target, bytes) => unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target as *mut u8, bytes.len());
        },
        _ => {}
    }
    let mut alive = ALIVE.lock().unwrap();
    let now = Object::Event(failure.clone(), Late::Nothing);
    if alive.1.get_or_insert_default().insert(name, now).is_none() {
        broken("an event ends while it is waited for");
    }
    drop(alive);
    error(failure)
}

extern "C" fn client_create(args: Words) -> usize {
    set(args, 8, add(Object::Client));
    0
}

extern "C" fn platform_name(args: Words) -> usize {
    get(word(args, 2));
    text(args, "late");
    0
}

extern "C" fn platform_version(args: Words) -> usize {
    let count = ALIVE.lock().unwrap().1.as_ref().map_or(0, HashMap::len);
    text(args, count.to_string().leak());
    0
}

extern "C" fn devices(args: Words) -> usize {
    static DEVICES: [usize; 1] = [8];
    set(args, 3, DEVICES.as_ptr() as usize);
    set(args, 4, 1);
    0
}

extern "C" fn described(args: Words) -> usize {
    text(args, "late device");
    0
}

extern "C" fn number_zero(args: Words) -> usize {
    set(args, 3, 0);
    0
}

extern "C" fn description(args: Words) -> usize {
    set(args, 3, 8);
    0
}

extern "C" fn compile(args: Words) -> usize {
    let program = word(args, 3) as Words;
    let code = unsafe { from_raw_parts(word(program, 2) as *const u8, word(program, 3)) };
    let mut words = std::str::from_utf8(code).unwrap().splitn(3, ' ');
    let when = words.next().unwrap().to_string();
    let failure = words.next().and_then(|code| Some((code.parse().ok()?, words.next()?.into())));
    set(args, 6, add(Object::Program(when, failure)));
    0
}

extern "C" fn from_host(args: Words) -> usize {
    let dims = unsafe { from_raw_parts(word(args, 5) as *const usize, word(args, 6)) };
    let length = dims.iter().product::<usize>() * if word(args, 4) as i32 == 6 { 1 } else { 4 };
    let data = word(args, 3);
    let bytes = unsafe { from_raw_parts(data as *const u8, length) }.to_vec();
    let late = match word(args, 9) as i32 {
        0 => Late::Nothing,
        _ => Late::Read(data, length, sum(data, length)),
    };
    set(args, 13, add(Object::Event(None, late)));
    set(args, 14, add(Object::Buffer(bytes, None)));
    0
}

extern "C" fn one(args: Words) -> usize {
    set(args, 3, 1);
    0
}

extern "C" fn executable(args: Words) -> usize {
    get(word(args, 2));
    set(args, 3, add(Object::Executable));
    0
}

extern "C" fn execute(args: Words) -> usize {
    let Object::Program(when, failure) = get(word(args, 2)) else { broken("no program") };
    if when == "start" {
        return error(failure);
    }
    let list = unsafe { from_raw_parts(word(word(args, 4) as Words, 0) as Words, word(args, 6)) };
    list.iter().for_each(|buffer| drop(get(*buffer)));
    let options = word(args, 3) as Words;
    let kept = match word(options, 8) {
        0 => 0,
        length => unsafe { from_raw_parts(word(options, 7) as Words, length) }.iter().sum(),
    };
    let bytes = [list.len() as f32, kept as f32].iter().flat_map(|x| x.to_le_bytes()).collect();
    let fails = |at: &str| failure.clone().filter(|_| when == at);
    let output = add(Object::Buffer(bytes, fails("output")));
    set(word(word(args, 7) as Words, 0) as Words, 0, output);
    set(word(args, 8) as Words, 0, add(Object::Event(fails("run"), Late::Read(1, 0, 0))));
    0
}

extern "C" fn to_host(args: Words) -> usize {
    let Object::Buffer(bytes, failure) = get(word(args, 2)) else { broken("no buffer") };
    if word(args, 5) != bytes.len() {
        broken("the target has another length");
    }
    set(args, 6, add(Object::Event(failure, Late::Write(word(args, 4), bytes))));
    0
}

extern "C" fn buffer_ready(args: Words) -> usize {
    let Object::Buffer(_, failure) = get(word(args, 2)) else { broken("no buffer") };
    set(args, 3, add(Object::Event(failure, Late::Read(1, 0, 0))));
    0
}

extern "C" fn output_types(args: Words) -> usize {
    static TYPES: [i32; 1] = [11];
    set(args, 3, TYPES.as_ptr() as usize);
    set(args, 4, 1);
    0
}

extern "C" fn output_dims(args: Words) -> usize {
    static DIMS: [i64; 1] = [2];
    static RANKS: [usize; 1] = [1];
    set(args, 4, DIMS.as_ptr() as usize);
    set(args, 5, RANKS.as_ptr() as usize);
    0
}

const ENTRIES: [(usize, Entry); 29] = [
    (0, destroy),
    (1, error_message),
    (2, error_code),
    (3, nothing),
    (4, nothing),
    (5, destroy),
    (6, event_is_ready),
    (8, event_await),
    (10, client_create),
    (11, destroy),
    (12, platform_name),
    (14, platform_version),
    (16, devices),
    (20, compile),
    (22, from_host),
    (23, number_zero),
    (26, described),
    (28, described),
    (29, description),
    (40, destroy),
    (44, one),
    (50, destroy),
    (51, executable),
    (55, execute),
    (58, destroy),
    (70, to_host),
    (72, buffer_ready),
    (90, output_types),
    (91, output_dims),
];

#[repr(C)]
pub struct Table {
    size: usize,
    extension: usize,
    version: [usize; 2],
    number: [i32; 2],
    entries: [Option<Entry>; 97],
}

#[unsafe(no_mangle)]
pub extern "C" fn GetPjrtApi() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut entries = [None; 97];
        ENTRIES.iter().for_each(|(at, entry)| entries[*at] = Some(*entry));
        let size = size_of::<Table>();
        Table { size, extension: 0, version: [24, 0], number: [0, 57], entries }
    })
}

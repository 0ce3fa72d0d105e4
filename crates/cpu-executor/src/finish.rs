//! The last touches to a [`Kernel`]: fewer passes over its blocks.
//!
//! Until then, instruction number i has register number i.

use graph::{Binary, Element};

use crate::kernel::{Function, Instruction, Kernel, Source, Target, Term};

/// Finishes a kernel, given the store whose place each leaf's elements are in, if it is one of them, and which
/// stores are of f32.
pub(crate) fn finish(kernel: &mut Kernel, own: &[Option<usize>], single: &[bool]) {
    join_products(kernel);
    for store in (0..kernel.stores.len()).filter(|&store| single[store]) {
        store_directly(kernel, store, own);
    }
    share_registers(kernel);
}

impl Instruction {
    /// The operands that it takes.
    fn taken(&self) -> &[Source] {
        &self.operands[..self.function.operands()]
    }
}

/// How often each register is read.
fn uses(kernel: &Kernel) -> Vec<usize> {
    let mut uses = vec![0; kernel.instructions.len()];
    let operands = kernel.instructions.iter().flat_map(Instruction::taken);
    let stores = kernel.stores.iter().map(|store| &store.source);
    for source in operands.chain(stores).chain(kernel.sums.iter().map(|sum| &sum.source)) {
        if let Source::Register(register) = *source {
            uses[register] += 1;
        }
    }
    uses
}

/// Products that are needed for one sum or difference become one instruction with it.
fn join_products(kernel: &mut Kernel) {
    let uses = uses(kernel);
    let mut joined = vec![false; kernel.instructions.len()];
    for at in 0..kernel.instructions.len() {
        let Instruction { function, operands: [a, b, _], .. } = kernel.instructions[at];
        let forms = match function {
            Function::Binary(Binary::Add, Element::F32) => {
                [(a, b, Term::Added), (b, a, Term::Added)]
            }
            Function::Binary(Binary::Subtract, Element::F32) => {
                [(a, b, Term::Less), (b, a, Term::Taken)]
            }
            _ => continue,
        };
        let found = forms.into_iter().find_map(|(product, other, term)| {
            let Source::Register(register) = product else { return None };
            let Instruction { function, operands: [a, b, _], .. } = kernel.instructions[register];
            let multiplies = matches!(function, Function::Binary(Binary::Multiply, Element::F32));
            let factors = if is_number(a) { [b, a] } else { [a, b] };
            (multiplies && uses[register] == 1 && !is_number(factors[0])).then_some((
                register,
                [factors[0], factors[1], other],
                term,
            ))
        });
        if let Some((register, operands, term)) = found {
            joined[register] = true;
            let instruction = &mut kernel.instructions[at];
            (instruction.function, instruction.operands) = (Function::Product(term), operands);
        }
    }
    remove(kernel, &joined);
}

fn is_number(source: Source) -> bool {
    matches!(source, Source::Number(_))
}

/// Takes instructions out and numbers the rest anew.
fn remove(kernel: &mut Kernel, removed: &[bool]) {
    let mut places = vec![0; removed.len()];
    let mut next = 0;
    for (place, removed) in places.iter_mut().zip(removed) {
        *place = next;
        next += usize::from(!removed);
    }
    let mut removed = removed.iter();
    kernel.instructions.retain(|_| removed.next() == Some(&false));
    rename(kernel, |register| Source::Register(places[register]));
    for (at, instruction) in kernel.instructions.iter_mut().enumerate() {
        instruction.to = Target::Register(at);
    }
}

/// Puts something in place of every register that is read.
fn rename(kernel: &mut Kernel, name: impl Fn(usize) -> Source) {
    let operands = kernel.instructions.iter_mut().flat_map(|instruction| {
        let count = instruction.function.operands();
        &mut instruction.operands[..count]
    });
    let stores = kernel.stores.iter_mut().map(|store| &mut store.source);
    for source in operands.chain(stores).chain(kernel.sums.iter_mut().map(|sum| &mut sum.source)) {
        if let Source::Register(register) = *source {
            *source = name(register);
        }
    }
}

/// Has a store's elements computed where they are kept, unless what was there before is read later.
fn store_directly(kernel: &mut Kernel, store: usize, own: &[Option<usize>]) {
    let Source::Register(register) = kernel.stores[store].source else { return };
    let before = |source: &Source| match *source {
        Source::Leaf(leaf) => own[leaf] == Some(store),
        _ => false,
    };
    let loaded = |instruction: &Instruction| match instruction.function {
        Function::Load(leaf) => own[leaf] == Some(store),
        _ => false,
    };
    let later = kernel.instructions[register + 1..].iter();
    let mut later = later.map(|later| loaded(later) || later.taken().iter().any(before));
    let summed = kernel.sums.iter().any(|sum| before(&sum.source));
    let instruction = &kernel.instructions[register];
    let itself: Vec<bool> = instruction.taken().iter().map(before).collect();
    let fits = match instruction.function {
        // These may write over one of their operands.
        Function::Unary(..) => true,
        Function::Binary(..) => itself != [true, true],
        Function::Product(_) => !itself[1] && itself != [true, false, true],
        _ => !itself.contains(&true),
    };
    if later.any(|reads| reads) || summed || !fits {
        return;
    }
    kernel.instructions[register].to = Target::Store(store);
    rename(kernel, |read| match read == register {
        true => Source::Store(store),
        false => Source::Register(read),
    });
}

/// From a register for each instruction to as few as will do.
fn share_registers(kernel: &mut Kernel) {
    let count = kernel.instructions.len();
    let mut last: Vec<usize> = (0..count).collect();
    for (at, instruction) in kernel.instructions.iter().enumerate() {
        for operand in instruction.taken() {
            if let Source::Register(register) = *operand {
                last[register] = at;
            }
        }
    }
    let kept = kernel.stores.iter().map(|store| store.source);
    for source in kept.chain(kernel.sums.iter().map(|sum| sum.source)) {
        if let Source::Register(register) = source {
            last[register] = count;
        }
    }
    let in_register = |at: usize| matches!(kernel.instructions[at].to, Target::Register(_));
    let mut places = vec![0; count];
    let mut free: Vec<usize> = vec![];
    let mut registers = 0;
    for at in 0..count {
        if in_register(at) {
            places[at] = free.pop().unwrap_or_else(|| {
                registers += 1;
                registers - 1
            });
        }
        let freed = (0..=at).filter(|&register| last[register] == at && in_register(register));
        free.extend(freed.map(|register| places[register]));
    }
    kernel.registers = registers;
    rename(kernel, |register| Source::Register(places[register]));
    for (instruction, place) in kernel.instructions.iter_mut().zip(places) {
        if let Target::Register(register) = &mut instruction.to {
            *register = place;
        }
    }
}

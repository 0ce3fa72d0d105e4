//! The type of an operation's result, or why there is none.

use crate::operation::{Convolution, Dot, Window, remaining};
use crate::{Binary, Element, Operation, Type, Unary};

/// An operation and operands that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of {operands}: {problem}")]
pub struct Mistake {
    /// The operation's name.
    pub operation: &'static str,
    /// The types of the operands.
    pub operands: String,
    /// What is wrong with them.
    pub problem: String,
}

type Inferred = Result<Type, String>;

/// The type of what `operation` makes of operands of these types. `wanted` is the result's type where
/// the operands do not say it: of parameters and constants, of a conversion and a reshape, and of a
/// broadcast.
///
/// # Errors
/// [`Mistake`] naming the operation and the operands' types.
pub(crate) fn infer(
    operation: &Operation,
    operands: &[&Type],
    wanted: Option<&Type>,
) -> Result<Type, Mistake> {
    result_type(operation, operands, wanted).map_err(|problem| Mistake {
        operation: operation.name(),
        operands: operands.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", "),
        problem,
    })
}

fn result_type(operation: &Operation, operands: &[&Type], wanted: Option<&Type>) -> Inferred {
    use Operation as Op;
    let to = || wanted.cloned().ok_or_else(|| "its result's type is not given".to_owned());
    match (operation, operands) {
        (Op::Parameter(_) | Op::Constant(_), []) => to(),
        (Op::Iota(axis), []) => {
            let to = to()?;
            within(*axis, &to)?;
            match to.element {
                Element::Pred => Err(format!("places are no truth values, as {to} has")),
                _ => Ok(to),
            }
        }
        (Op::ReplicaId, []) => Ok(Type::new(Element::S32, [])),
        (Op::Unary(function), [x]) => unary(*function, x),
        (Op::Binary(function), [a, b]) => binary(*function, a, b),
        (Op::Compare(_), [a, b]) => {
            same(a, b)?;
            Ok(Type::new(Element::Pred, a.shape.clone()))
        }
        (Op::Select, [which, a, b]) => {
            same(a, b)?;
            same(which, &Type::new(Element::Pred, a.shape.clone()))?;
            Ok((*a).clone())
        }
        (Op::Convert, [x]) => same_shape(x, to()?),
        (Op::Reshape, [x]) => same_len(x, to()?),
        (Op::BroadcastInDim(axes), [x]) => broadcast(axes, x, to()?),
        (Op::Transpose(permutation), [x]) => transpose(permutation, x),
        (Op::Slice { start, limit, stride }, [x]) => slice(start, limit, stride, x),
        (Op::Pad { low, high, interior }, [x]) => pad(low, high, interior, x),
        (Op::Concatenate(axis), [_, ..]) => concatenate(*axis, operands),
        (Op::Reverse(axes), [x]) => {
            different(axes, x)?;
            Ok((*x).clone())
        }
        (Op::Reduce(_, axes), [x]) => reduce(axes, x),
        (Op::MaxPool(window), [x]) => max_pool(window, x),
        (Op::SelectAndScatter(window), [x, g]) => {
            same(g, &max_pool(window, x)?)?;
            Ok((*x).clone())
        }
        (Op::DotGeneral(dot), [a, b]) => dot_general(dot, a, b),
        (Op::Convolution(of), [x, kernel]) => convolution(of, x, kernel),
        (Op::Gather, [x, rows]) => rows_of(x, indices(rows)?),
        (Op::Scatter(count), [x, rows]) => {
            let found = indices(rows)?;
            same(x, &rows_of(x, found)?)?;
            rows_of(x, *count)
        }
        (Op::DynamicSlice(count), [x, at]) => {
            scalar_index(at)?;
            match x.shape.first() {
                Some(all) if count <= all => rows_of(x, *count),
                _ => Err(format!("there are no {count} rows")),
            }
        }
        (Op::DynamicUpdateSlice, [x, rows, at]) => {
            scalar_index(at)?;
            match (x.shape.first(), rows.shape.first()) {
                (Some(all), Some(&count)) if count <= *all => same(rows, &rows_of(x, count)?)?,
                _ => return Err("there are fewer rows than are to be written".to_owned()),
            }
            Ok((*x).clone())
        }
        (Op::StopGradient | Op::AllReduce { .. }, [x]) => Ok((*x).clone()),
        (Op::AllGather { replicas }, [x]) => match x.shape.first() {
            Some(rows) => rows_of(x, rows * replicas),
            None => Err("a scalar has no rows".to_owned()),
        },
        (Op::ResidualTrain(plan), [images, parameters]) => residual(plan, images, parameters),
        (Op::ResidualEval(plan), [images, parameters, running]) => {
            same(running, &Type::f32([plan.statistics()]))?;
            residual(plan, images, parameters)
        }
        // What these are of is checked where they are built: their first operand is an instruction.
        (Op::ResidualStatistics, [_]) | (Op::ResidualGradient, [_, _]) => to(),
        _ => Err(format!("it does not take {} operands", operands.len())),
    }
}

fn same(found: &Type, expected: &Type) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{found} is not {expected}")),
    }
}

fn same_shape(x: &Type, to: Type) -> Inferred {
    match x.shape == to.shape {
        true => Ok(to),
        false => Err(format!("the result {to} has another shape")),
    }
}

fn same_len(x: &Type, to: Type) -> Inferred {
    match x.len() == to.len() && x.element == to.element {
        true => Ok(to),
        false => Err(format!("the result {to} has {} elements, not {}", to.len(), x.len())),
    }
}

fn within(axis: usize, x: &Type) -> Result<(), String> {
    match axis < x.rank() {
        true => Ok(()),
        false => Err(format!("{x} has no axis {axis}")),
    }
}

fn duplicate(axes: &[usize]) -> bool {
    axes.iter().enumerate().any(|(at, axis)| axes[..at].contains(axis))
}

/// That these are axes of `x`, each named once.
fn different(axes: &[usize], x: &Type) -> Result<(), String> {
    axes.iter().try_for_each(|&axis| within(axis, x))?;
    match duplicate(axes) {
        true => Err(format!("axes {axes:?} of {x} are named twice")),
        false => Ok(()),
    }
}

fn lengths(x: &Type, axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|&axis| x.shape[axis]).collect()
}

fn unary(function: Unary, x: &Type) -> Inferred {
    let fits = match function {
        Unary::Not => x.element == Element::Pred,
        Unary::Abs | Unary::Negate | Unary::Sign => {
            x.element.is_float() || x.element == Element::S32
        }
        _ => x.element.is_float(),
    };
    match fits {
        true => Ok(x.clone()),
        false => Err(format!("it is not defined on {}", x.element)),
    }
}

fn binary(function: Binary, a: &Type, b: &Type) -> Inferred {
    same(a, b)?;
    let logical = matches!(function, Binary::And | Binary::Or);
    match logical == (a.element == Element::Pred) {
        true => Ok(a.clone()),
        false => Err(format!("it is not defined on {}", a.element)),
    }
}

fn broadcast(axes: &[usize], x: &Type, to: Type) -> Inferred {
    let fits = axes.len() == x.rank()
        && x.element == to.element
        && !duplicate(axes)
        && axes.iter().zip(&x.shape).all(|(&axis, &length)| {
            to.shape.get(axis).is_some_and(|&long| length == long || length == 1)
        });
    match fits {
        true => Ok(to),
        false => Err(format!("its axes do not become axes {axes:?} of {to}")),
    }
}

fn transpose(permutation: &[usize], x: &Type) -> Inferred {
    let fits = permutation.len() == x.rank()
        && !duplicate(permutation)
        && permutation.iter().all(|&axis| axis < x.rank());
    match fits {
        true => Ok(Type::new(x.element, lengths(x, permutation))),
        false => Err(format!("{permutation:?} is no order of its axes")),
    }
}

fn slice(start: &[usize], limit: &[usize], stride: &[usize], x: &Type) -> Inferred {
    let whole = [start.len(), limit.len(), stride.len()] == [x.rank(); 3];
    let fits = whole
        && (0..x.rank()).all(|axis| {
            start[axis] <= limit[axis] && limit[axis] <= x.shape[axis] && stride[axis] > 0
        });
    match fits {
        true => {
            let length = |axis: usize| (limit[axis] - start[axis]).div_ceil(stride[axis]);
            Ok(Type::new(x.element, (0..x.rank()).map(length).collect::<Vec<_>>()))
        }
        false => Err(format!("it has no part from {start:?} to {limit:?} in steps of {stride:?}")),
    }
}

fn pad(low: &[i64], high: &[i64], interior: &[usize], x: &Type) -> Inferred {
    if [low.len(), high.len(), interior.len()] != [x.rank(); 3] {
        return Err(format!("{low:?}, {high:?} and {interior:?} are not one for each axis"));
    }
    let length = |axis: usize| {
        let between = x.shape[axis].saturating_sub(1) * interior[axis];
        usize::try_from((x.shape[axis] + between) as i64 + low[axis] + high[axis])
            .map_err(|_| format!("nothing is left of axis {axis}"))
    };
    Ok(Type::new(x.element, (0..x.rank()).map(length).collect::<Result<Vec<_>, _>>()?))
}

fn concatenate(axis: usize, operands: &[&Type]) -> Inferred {
    let mut to = operands[0].clone();
    within(axis, &to)?;
    for next in &operands[1..] {
        let mut like = (*next).clone();
        within(axis, next)?;
        like.shape[axis] = to.shape[axis];
        same(&like, &to).map_err(|_| format!("{next} does not go behind {to} on axis {axis}"))?;
        to.shape[axis] += next.shape[axis];
    }
    Ok(to)
}

fn reduce(axes: &[usize], x: &Type) -> Inferred {
    different(axes, x)?;
    Ok(Type::new(x.element, lengths(x, &remaining(axes, x.rank()))))
}

fn max_pool(window: &Window, x: &Type) -> Inferred {
    let Window { lengths, strides, padding } = window;
    if [lengths.len(), strides.len(), padding.len()] != [x.rank(); 3] {
        return Err("the window has not one length, step and padding for each axis".to_owned());
    }
    let length = |axis: usize| {
        let padded = x.shape[axis] + padding[axis][0] + padding[axis][1];
        match padded.checked_sub(lengths[axis]) {
            Some(room) if strides[axis] > 0 => Ok(room / strides[axis] + 1),
            _ => Err(format!("the window does not fit into axis {axis}")),
        }
    };
    Ok(Type::new(x.element, (0..x.rank()).map(length).collect::<Result<Vec<_>, _>>()?))
}

fn dot_general(dot: &Dot, a: &Type, b: &Type) -> Inferred {
    let sides = [a, b];
    for side in [0, 1] {
        different(&dot.taken(side), sides[side])?;
    }
    for axes in [&dot.batch, &dot.contracting] {
        let [of_a, of_b] = [0, 1].map(|side| lengths(sides[side], &axes[side]));
        if of_a != of_b {
            return Err(format!("axes of {of_a:?} meet axes of {of_b:?}"));
        }
    }
    if a.element != b.element || !a.element.is_float() {
        return Err("both must be of one floating-point type".to_owned());
    }
    let [of_a, of_b] = [0, 1].map(|side| lengths(sides[side], &dot.free(side, sides[side].rank())));
    Ok(Type::new(a.element, [lengths(a, &dot.batch[0]), of_a, of_b].concat()))
}

/// The length of an axis with so many zeros between two elements.
pub(crate) fn dilated(length: usize, dilation: usize) -> usize {
    if length == 0 { 0 } else { (length - 1) * dilation + 1 }
}

fn convolution(of: &Convolution, x: &Type, kernel: &Type) -> Inferred {
    if x.rank() != 4 || kernel.rank() != 4 || x.element != kernel.element {
        return Err("both must have four axes and one element type".to_owned());
    }
    if [&of.lhs, &of.rhs, &of.out]
        .iter()
        .any(|axes| duplicate(&axes[..]) || axes.iter().any(|&axis| axis >= 4))
    {
        return Err("its axes are not four different ones".to_owned());
    }
    let (features, inputs) = (x.shape[of.lhs[1]], kernel.shape[of.rhs[1]]);
    if features != inputs {
        return Err(format!("{features} features meet weights for {inputs}"));
    }
    if [of.stride, of.lhs_dilation, of.rhs_dilation].concat().contains(&0) {
        return Err("its steps and dilations are at least 1".to_owned());
    }
    let mut shape = [0; 4];
    (shape[of.out[0]], shape[of.out[1]]) = (x.shape[of.lhs[0]], kernel.shape[of.rhs[0]]);
    for axis in [0, 1] {
        let long = dilated(x.shape[of.lhs[axis + 2]], of.lhs_dilation[axis]) as i64
            + of.padding[axis][0]
            + of.padding[axis][1];
        let window = dilated(kernel.shape[of.rhs[axis + 2]], of.rhs_dilation[axis]) as i64;
        if long < window {
            return Err(format!("the kernel does not fit into spatial axis {axis}"));
        }
        shape[of.out[axis + 2]] = (long - window) as usize / of.stride[axis] + 1;
    }
    Ok(Type::new(x.element, shape))
}

/// The type with so many rows in place of its own.
fn rows_of(x: &Type, rows: usize) -> Inferred {
    let mut to = x.clone();
    *to.shape.first_mut().ok_or("a scalar has no rows")? = rows;
    Ok(to)
}

fn indices(rows: &Type) -> Result<usize, String> {
    match (rows.element, &rows.shape[..]) {
        (Element::S32, &[count]) => Ok(count),
        _ => Err(format!("{rows} are no places of rows")),
    }
}

fn scalar_index(at: &Type) -> Result<(), String> {
    same(at, &Type::new(Element::S32, []))
}

fn residual(plan: &crate::Plan, images: &Type, parameters: &Type) -> Inferred {
    same(parameters, &Type::f32([plan.parameters()]))?;
    let [in_channels, _] = plan.stem.channels;
    match (images.element, &images.shape[..]) {
        (Element::F32, &[batch, channels, height, width])
            if channels == in_channels && height > 0 && width > 0 =>
        {
            Ok(Type::f32([batch, plan.features()]))
        }
        _ => Err(format!("{images} are no images of {in_channels} channels")),
    }
}

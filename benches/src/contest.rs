//! Sides that take turns, so that whatever else the machine does strikes all of them alike.
use crate::Failure;

/// One side: does its round, and says what came of it, metric by metric.
pub type Side<'a, const METRICS: usize> = Box<dyn FnMut() -> Result<[f64; METRICS], Failure> + 'a>;

/// The figures of one side: for each metric, one a round.
pub type Figures<const METRICS: usize> = [Vec<f64>; METRICS];

/// Lets every side do `rounds` rounds, in turns; one round before them warms up and counts nothing.
///
/// The side that begins changes with each round: with two of them A B, B A, A B and so on.
///
/// # Errors
///
/// The first failure of a side ends it: half a contest compares nothing.
pub fn contest<const METRICS: usize>(
    rounds: usize,
    mut sides: Vec<Side<'_, METRICS>>,
) -> Result<Vec<Figures<METRICS>>, Failure> {
    let mut figures: Vec<Figures<METRICS>> =
        sides.iter().map(|_| std::array::from_fn(|_| Vec::with_capacity(rounds))).collect();
    for side in &mut sides {
        side()?;
    }
    for round in 0..rounds {
        let mut turns: Vec<_> = sides.iter_mut().zip(&mut figures).collect();
        let first = round % turns.len().max(1);
        turns.rotate_left(first);
        for (side, figures) in turns {
            for (series, figure) in figures.iter_mut().zip(side()?) {
                series.push(figure);
            }
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn sides_take_turns_and_the_first_round_counts_nothing() {
        let order = RefCell::new(String::new());
        let side = |name: char, figure: f64| -> Side<'_, 1> {
            let (order, mut rounds) = (&order, 0.0);
            Box::new(move || {
                order.borrow_mut().push(name);
                rounds += 1.0;
                Ok([figure * rounds])
            })
        };
        let figures = contest(3, vec![side('a', 1.0), side('b', 10.0)]).expect("no side fails");
        assert_eq!(*order.borrow(), "ababbaab");
        assert_eq!(figures, [[vec![2.0, 3.0, 4.0]], [vec![20.0, 30.0, 40.0]]]);
    }

    #[test]
    fn failure_of_one_side_ends_the_contest() {
        let sides: Vec<Side<'_, 1>> = vec![Box::new(|| Ok([1.0])), Box::new(|| Err("no".into()))];
        assert!(contest(3, sides).is_err());
    }
}

//! The functions that AWS adds to JSONata, and those of JSONata that depend on time or chance.

use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::value::JValue;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::clock::{Clock, written};
use crate::randomness::Randomness;

/// The most items that `$range` gives (AWS, "Transforming data with JSONata").
const LONGEST_RANGE: f64 = 1_000.0;

/// Every function that a flow may call. `$eval` is missing as on AWS, `$shuffle` because it cannot be seeded.
const KNOWN: [&str; 67] = [
    "abs",
    "append",
    "assert",
    "average",
    "base64decode",
    "base64encode",
    "boolean",
    "ceil",
    "contains",
    "count",
    "decodeUrl",
    "decodeUrlComponent",
    "distinct",
    "each",
    "encodeUrl",
    "encodeUrlComponent",
    "error",
    "exists",
    "filter",
    "floor",
    "formatBase",
    "formatInteger",
    "formatNumber",
    "fromMillis",
    "hash",
    "join",
    "keys",
    "length",
    "lookup",
    "lowercase",
    "map",
    "match",
    "max",
    "merge",
    "millis",
    "min",
    "not",
    "now",
    "number",
    "pad",
    "parse",
    "parseInteger",
    "partition",
    "power",
    "random",
    "range",
    "reduce",
    "replace",
    "reverse",
    "round",
    "sift",
    "single",
    "sort",
    "split",
    "spread",
    "sqrt",
    "string",
    "substring",
    "substringAfter",
    "substringBefore",
    "sum",
    "toMillis",
    "trim",
    "type",
    "uppercase",
    "uuid",
    "zip",
];

/// Whether a flow may call this function.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.binary_search(&name).is_ok()
}

type Outcome = Result<JValue, EvaluatorError>;

/// Gives the evaluator AWS's functions, and time and chance of the runner instead of the machine's.
pub(crate) fn register(
    evaluator: &mut Evaluator,
    clock: Clock,
    randomness: &Randomness,
) -> Result<(), EvaluatorError> {
    let for_random = randomness.clone();
    let for_uuid = randomness.clone();
    evaluator.register_fn("partition", partition)?;
    evaluator.register_fn("range", range)?;
    evaluator.register_fn("hash", hash)?;
    evaluator.register_fn("parse", parse)?;
    evaluator.register_fn("uuid", move |_: &[JValue]| Ok(JValue::from(for_uuid.uuid())))?;
    evaluator.register_fn_override("random", move |arguments: &[JValue]| random(arguments, &for_random))?;
    evaluator.register_fn_override("now", move |arguments: &[JValue]| now(arguments, clock))?;
    evaluator
        .register_fn_override("millis", move |_: &[JValue]| Ok(JValue::from(clock.now().as_millisecond())))
}

fn partition(arguments: &[JValue]) -> Outcome {
    let [JValue::Array(items), JValue::Number(size)] = arguments else {
        return refuse("$partition takes an array and a chunk size");
    };
    if *size < 1.0 || size.fract() != 0.0 {
        return refuse("the chunk size of $partition must be a whole number of at least 1");
    }
    let chunks = items.chunks(*size as usize).map(|chunk| JValue::array(chunk.to_vec()));
    Ok(JValue::array(chunks.collect()))
}

fn range(arguments: &[JValue]) -> Outcome {
    let [JValue::Number(first), JValue::Number(last), JValue::Number(step)] = arguments else {
        return refuse("$range takes a first number, a last number and a step");
    };
    if *step == 0.0 {
        return refuse("the step of $range must not be 0");
    }
    let steps = ((last - first) / step).floor();
    if steps + 1.0 > LONGEST_RANGE {
        return refuse("$range gives at most 1000 items");
    }
    let count = if steps < 0.0 { 0 } else { steps as u32 + 1 };
    let items = (0..count).map(|index| JValue::from(first + step * f64::from(index)));
    Ok(JValue::array(items.collect()))
}

fn hash(arguments: &[JValue]) -> Outcome {
    let [JValue::String(data), JValue::String(algorithm)] = arguments else {
        return refuse("$hash takes a string and the name of an algorithm");
    };
    let digest = match &**algorithm {
        "SHA-256" => hex::encode(Sha256::digest(data.as_bytes())),
        "SHA-384" => hex::encode(Sha384::digest(data.as_bytes())),
        "SHA-512" => hex::encode(Sha512::digest(data.as_bytes())),
        other => return refuse(&format!("$hash does not know the algorithm {other:?} here")),
    };
    Ok(JValue::from(digest))
}

fn parse(arguments: &[JValue]) -> Outcome {
    let [JValue::String(text)] = arguments else {
        return refuse("$parse takes one string");
    };
    JValue::from_json_str(text).map_err(|error| {
        EvaluatorError::EvaluationError(format!("$parse was given a text that is not JSON: {error}"))
    })
}

fn random(arguments: &[JValue], randomness: &Randomness) -> Outcome {
    match arguments {
        [] => Ok(JValue::from(randomness.fraction())),
        [JValue::Number(seed)] => Ok(JValue::from(Randomness::seeded(seed.to_bits()).fraction())),
        _ => refuse("$random takes nothing or one number, its seed"),
    }
}

fn now(arguments: &[JValue], clock: Clock) -> Outcome {
    if arguments.is_empty() {
        return Ok(JValue::from(written(clock.now())));
    }
    refuse("$now takes no picture here: use $fromMillis($millis(), picture)")
}

fn refuse(reason: &str) -> Outcome {
    Err(EvaluatorError::EvaluationError(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_names_are_sorted_for_the_search() {
        assert!(KNOWN.is_sorted());
        assert!(is_known("zip") && is_known("abs") && is_known("uuid") && !is_known("eval"));
    }
}

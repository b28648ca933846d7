//! How a person names letters: `0/17`, or `0 17`.

use platform::{cli::Misuse, kafka::Place};

/// Reads the places that words name.
pub(super) fn read(words: &[String]) -> Result<Vec<Place>, Misuse> {
    let mut places = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (partition, offset) = match word.split_once('/') {
            Some((partition, offset)) => (partition, offset),
            None => match words.next() {
                Some(offset) => (word.as_str(), offset.as_str()),
                None => return Err(Misuse(format!("`{word}` names no letter: say PARTITION/OFFSET, such as 0/17"))),
            },
        };
        let place = Place { partition: number("partition", partition)?, offset: number("offset", offset)? };
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

fn number<N: TryFrom<i64>>(what: &str, text: &str) -> Result<N, Misuse> {
    let number = text.parse::<i64>().ok().filter(|number| *number >= 0).and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| Misuse(format!("`{text}` is no {what}: say PARTITION/OFFSET, such as 0/17")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &[&str]) -> Result<Vec<(i32, i64)>, String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let places = read(&words).map_err(|misuse| misuse.to_string())?;
        Ok(places.into_iter().map(|place| (place.partition, place.offset)).collect())
    }

    #[test]
    fn letters_are_named_by_partition_and_offset_in_one_word_or_in_two() {
        assert_eq!(named(&["0/17", "1", "2", "0/17"]), Ok(vec![(0, 17), (1, 2)]));
        for (words, fault) in [
            (&["17"][..], "`17` names no letter"),
            (&["0/x"], "`x` is no offset"),
            (&["0/-1"], "`-1` is no offset"),
            (&["4294967296/0"], "`4294967296` is no partition"),
            (&["0/1/2"], "`1/2` is no offset"),
            (&["first", "1"], "`first` is no partition"),
        ] {
            assert!(named(words).is_err_and(|told| told.starts_with(fault)), "{words:?}");
        }
    }
}

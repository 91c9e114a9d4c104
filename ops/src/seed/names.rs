//! Names of demo pupils, as they stand on class lists in Germany. Which name comes when is fixed.

/// Prime, and coprime to the number of last names: the first 29 * 36 pairs are all different.
const FIRST: [&str; 29] = [
    "Emilia",
    "Noah",
    "Mia",
    "Elias",
    "Hannah",
    "Ben",
    "Lina",
    "Yusuf",
    "Clara",
    "Jonas",
    "Aylin",
    "Finn",
    "Marie",
    "Luca",
    "Zeynep",
    "Paul",
    "Sophia",
    "Emir",
    "Lea",
    "Theo",
    "Charlotte",
    "Anton",
    "Amina",
    "Oskar",
    "Frieda",
    "Mateo",
    "Greta",
    "Jakub",
    "Nele",
];

const LAST: [&str; 36] = [
    "Müller",
    "Schmidt",
    "Yıldız",
    "Fischer",
    "Meyer",
    "Wagner",
    "Schulz",
    "Kowalski",
    "Koch",
    "Bauer",
    "Richter",
    "Klein",
    "Demir",
    "Schröder",
    "Neumann",
    "Zimmermann",
    "Braun",
    "Krüger",
    "Hartmann",
    "Popović",
    "Schmitt",
    "Werner",
    "Krause",
    "Lehmann",
    "Kaya",
    "Maier",
    "Köhler",
    "Walter",
    "Huber",
    "Nguyen",
    "Fuchs",
    "Lang",
    "Scholz",
    "Möller",
    "Weiß",
    "Jung",
];

/// The n-th pupil of the country.
pub fn pupil(n: usize) -> String {
    format!("{} {}", FIRST[n % FIRST.len()], LAST[n % LAST.len()])
}

/// `Jörg Lindner` -> `j.lindner`: what a school would give as login.
pub fn login(name: &str) -> String {
    let folded = fold(name);
    let (first, last) = folded.split_once(' ').unwrap_or(("", &folded));
    match first.chars().next() {
        Some(initial) => format!("{initial}.{}", last.replace(' ', "-")),
        None => last.to_owned(),
    }
}

/// Lower case ASCII, as Germans write without umlauts.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.to_lowercase().chars() {
        match c {
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            'ç' | 'ć' | 'č' => out.push('c'),
            'ı' => out.push('i'),
            'ş' | 'š' => out.push('s'),
            'ğ' => out.push('g'),
            'é' | 'è' => out.push('e'),
            c if c.is_ascii_alphanumeric() || matches!(c, ' ' | '-') => out.push(c),
            // Combining marks of letters that lower case has taken apart.
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pupils_of_one_school_have_different_names() {
        let names: std::collections::BTreeSet<_> = (0..200).map(pupil).collect();
        assert_eq!(names.len(), 200);
    }

    #[test]
    fn logins_are_written_without_umlauts() {
        assert_eq!(login("Jörg Lindner"), "j.lindner");
        assert_eq!(login("Ayşe Yılmaz"), "a.yilmaz");
        assert_eq!(login("Stefan Weiß"), "s.weiss");
        assert_eq!(login("İpek von Öhlen"), "i.von-oehlen");
    }
}

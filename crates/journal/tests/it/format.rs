//! `docs/format.md` and the code agree: the tables there are rendered from the layout's constants.

use trialog_journal::Field;
use trialog_journal::frame::{FRAME_FIELDS, FRAME_HEADER_BYTES};
use trialog_journal::header::{HEADER_BYTES, HEADER_FIELDS};
use trialog_journal::seal::{SEAL_BYTES, SEAL_FIELDS};

fn table(fields: &[Field]) -> String {
    let rows = fields.iter().map(|f| format!("| {} | {} | {} | {} |\n", f.offset, f.bytes, f.name, f.meaning));
    std::iter::once(String::from("| offset | bytes | field | content |\n|---:|---:|---|---|\n"))
        .chain(rows)
        .collect()
}

fn assert_documented(name: &str, fields: &[Field]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format.md");
    let document = std::fs::read_to_string(path).unwrap();
    let expected = table(fields);
    assert!(document.contains(&expected), "docs/format.md lacks the table of the {name}:\n{expected}");
}

#[test]
fn the_documented_tables_are_the_layout() {
    assert_documented("file header", &HEADER_FIELDS);
    assert_documented("frame header", &FRAME_FIELDS);
    assert_documented("seal", &SEAL_FIELDS);
}

#[test]
fn fields_lie_side_by_side() {
    let layouts =
        [(HEADER_FIELDS.as_slice(), HEADER_BYTES), (&FRAME_FIELDS, FRAME_HEADER_BYTES), (&SEAL_FIELDS, SEAL_BYTES)];
    for (fields, bytes) in layouts {
        let end = fields.iter().fold(0, |end, field| {
            assert_eq!(field.offset, end, "{}", field.name);
            end + field.bytes
        });
        assert_eq!(end, bytes);
    }
}

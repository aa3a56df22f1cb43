use super::*;
use proptest::prelude::*;
use rusqlite::types::Value;

struct Some3;

impl Names for Some3 {
    fn metric(&self, name: &str) -> Option<i64> {
        ["loss", "test_accuracy", "test_loss"].iter().position(|known| *known == name).map(|index| index as i64)
    }

    fn in_summary(&self, name: &str) -> bool {
        name == "lambda_max"
    }

    fn in_config(&self, name: &str) -> bool {
        name == "of.an_older_version"
    }

    fn all(&self) -> Vec<String> {
        ["loss", "test_accuracy", "test_loss", "lambda_max"].map(str::to_owned).to_vec()
    }
}

fn translated(text: &str) -> Translated {
    Filter::parse(text).unwrap().translate(&Some3).unwrap()
}

fn refused(text: &str) -> String {
    Filter::parse(text).and_then(|filter| filter.translate(&Some3)).unwrap_err().to_string()
}

#[test]
fn texts_and_numbers_never_become_part_of_the_statement() {
    let found = translated("model = \"x'; DROP TABLE runs; --\" and optimizer.learning_rate > 0.01");
    assert!(!found.sql.contains("DROP") && !found.sql.contains("0.01"), "{}", found.sql);
    assert_eq!(found.sql.matches('?').count(), found.parameters.len());
    assert!(found.parameters.contains(&Value::Real(0.01)));
}

#[test]
fn a_name_that_is_both_is_the_metric_among_numbers_and_the_setting_among_words() {
    assert!(translated("loss < 0.5").sql.contains("metric_values"));
    assert!(translated("loss = squared").sql.contains("FROM config"));
    assert!(translated("config.loss = squared").sql.contains("FROM config"));
    assert!(translated("metric.loss < 1").sql.contains("metric_values"));
}

#[test]
fn short_names_of_settings_are_understood_where_only_one_is_called_so() {
    for name in ["lr", "optimizer.lr", "optimizer.learning_rate", "config.lr"] {
        assert_eq!(translated(&format!("{name} > 1")).parameters[0], Value::Text("optimizer.learning_rate".into()));
    }
    let error = refused("learning_rate > 1");
    assert!(error.contains("more than one setting") && error.contains("optimizer.learning_rate"), "{error}");
}

#[test]
fn a_minus_inside_a_word_belongs_to_it() {
    assert_eq!(translated("model = row-gru:64-64").parameters[1], Value::Text("row-gru:64-64".into()));
    assert!(translated("test_loss - loss > -1e-3").sql.contains(" - "));
    assert!(refused("test_loss-loss > 0").contains("'test_loss-loss'"));
}

#[test]
fn a_mistake_is_shown_in_its_place() {
    insta::assert_snapshot!(refused("test_acuracy > 0.9 and tag = x"), @r#"
    there is nothing called 'test_acuracy' in the runs
      --> --where
        | test_acuracy > 0.9 and tag = x
        | ^^^^^^^^^^^^ did you mean 'test_accuracy'?
    hint: settings are in docs/configuration.md; metrics: `evenkeel runs sql "SELECT DISTINCT metric FROM metrics"`
    "#);
    insta::assert_snapshot!(refused("loss > 0.9 und tag = x"), @r"
    the filter goes on where it should end
      --> --where
        | loss > 0.9 und tag = x
        |            ^^^ `and`, `or` or an operator is missing
    ");
    insta::assert_snapshot!(refused("status = finshed"), @r"
    there is no such status
      --> --where
        | status = finshed
        |          ^^^^^^^ did you mean 'finished'?
    ");
    for odd in [
        "",
        "(",
        ")",
        "loss",
        "loss >",
        "> 3",
        "loss > fast",
        "not",
        "a and",
        "loss > 'x'",
        "'x' = 'y'",
        "max(3) > 1",
        "mean(loss) > 1",
        "tag > 3",
        "loss ~",
        "loss ~ a b",
        "5 ~ x",
        "loss = 'x",
        "name + 1 > 2",
        "loss § 3",
    ] {
        assert!(!refused(odd).is_empty(), "{odd}");
    }
}

#[test]
fn deep_nesting_and_great_length_are_refused_and_cost_nothing() {
    assert!(refused(&"(".repeat(5000)).contains("nested"));
    assert!(refused(&"not ".repeat(2000)).contains("nested"));
    assert!(refused(&vec!["loss > 1"; 500].join(" and ")).contains("too long"));
    assert!(refused(&"x".repeat(20_000)).contains("too long"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
        let _ = Filter::parse(&text).and_then(|filter| filter.translate(&Some3));
        let _ = SortKey::parse(&text).and_then(|key| key.translate(&Some3));
    }

    #[test]
    fn no_order_of_words_makes_the_reader_panic_and_what_is_taken_is_sql(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "loss", "test_accuracy", "lr", "tag", "status", "name", "model", "and", "or", "not", "(", ")", "=", "!=",
                "<", ">=", "~", "+", "-", "*", "/", "0.5", "-3", "none", "finished", "'two words'", "max(loss)", "mlp*",
            ]),
            0..14,
        )
    ) {
        if let Ok(found) = Filter::parse(&words.join(" ")).and_then(|filter| filter.translate(&Some3)) {
            let index = crate::store::Index::in_memory(std::path::Path::new(".")).unwrap();
            let statement = format!("SELECT count(*) FROM runs r WHERE {}", found.sql);
            let count: i64 = index
                .connection
                .query_row(&statement, rusqlite::params_from_iter(&found.parameters), |row| row.get(0))
                .unwrap();
            prop_assert_eq!(count, 0);
        }
    }
}

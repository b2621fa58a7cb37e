//! Files that are made to grow are refused at once, and in little memory.

use cloudfaster::docker::compose::{Request, Sources, Variables, load};

fn told(text: &str) -> String {
    told_of(&Sources::inline("compose.yaml", text), &Variables::new())
}

fn told_of(sources: &Sources, variables: &Variables) -> String {
    let files = ["compose.yaml".to_owned()];
    let request = Request { sources, files: &files, variables, profiles: &[], name: "project" };
    load(request).map(|_| ()).expect_err("it is refused").to_string()
}

#[test]
fn a_file_of_ten_megabytes_is_refused() {
    let service = "  web: {image: nginx}\n";
    let text = format!("services:\n{service}# {}\n", "x".repeat(10 * 1024 * 1024));
    let told = told(&text);
    assert!(told.contains("`compose.yaml` has more than 1024 KiB"), "{told}");
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = "x-a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let above = format!("*a{}", level - 1);
        text += &format!("x-{level}: &a{level} [{}]\n", vec![above; 10].join(", "));
    }
    text += "services: {web: {image: nginx}}\n";
    assert!(told(&text).contains("the project is too large"));
}

#[test]
fn merges_that_multiply_are_refused() {
    let mut text = "x-0: &a0 {a: &v {k: 0}}\n".to_owned();
    for level in 1..30 {
        text += &format!("x-{level}: &a{level} {{l: *a{0}, r: *a{0}}}\n", level - 1);
    }
    text += "services: {web: {image: nginx, <<: *a29}}\n";
    assert!(told(&text).contains("the project is too large"));
}

#[test]
fn long_texts_behind_anchors_are_refused() {
    let text = format!(
        "x: &a {}\nx-l: [{}]\nservices: {{web: {{image: a}}}}\n",
        "x".repeat(500_000),
        vec!["*a"; 1000].join(",")
    );
    assert!(told(&text).contains("the project is too large"));
}

#[test]
fn deep_nesting_is_refused_in_either_style_and_through_anchors() {
    let flow = format!("x-a: {}{}\nservices: {{web: {{image: a}}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(told(&flow).contains("compose.yaml:1"), "{}", told(&flow));
    let block: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(!told(&block).is_empty());
    let mut chained = "x-0: &a0 [x]\n".to_owned();
    for level in 1..5_000 {
        chained += &format!("x-{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(told(&chained).contains("nested more than 64 deep"), "{}", told(&chained));
}

#[test]
fn variables_that_multiply_are_refused() {
    let text = format!("services: {{web: {{image: a, environment: {{A: \"{}\"}}}}}}\n", "$BIG".repeat(1000));
    let variables = Variables::from([("BIG".to_owned(), "x".repeat(100_000))]);
    let told = told_of(&Sources::inline("compose.yaml", &text), &variables);
    assert!(told.contains("the text becomes too long"), "{told}");
    let many: String = (0..2000).map(|index| format!("  s{index}: {{image: $BIG}}\n")).collect();
    let told = told_of(&Sources::inline("compose.yaml", &format!("services:\n{many}")), &variables);
    assert!(told.contains("the project is too large"), "{told}");
}

#[test]
fn extensions_that_multiply_are_refused() {
    let environment: String = (0..5_000).map(|index| format!("      V{index}: some value\n")).collect();
    let many: String = (0..2_000).map(|index| format!("  s{index}: {{extends: base}}\n")).collect();
    let text = format!("services:\n  base:\n    image: a\n    environment:\n{environment}{many}");
    assert!(told(&text).contains("the project is too large"));
}

#[test]
fn ports_that_multiply_are_refused() {
    let ports = vec!["\"1-65535\""; 1000].join(", ");
    let told = told(&format!("services: {{web: {{image: a, ports: [{ports}]}}}}\n"));
    assert!(told.contains("the project is too large"), "{told}");
}

#[test]
fn env_files_that_multiply_are_refused() {
    let many: String = (0..500).map(|index| format!("  s{index}: {{image: a, env_file: big.env}}\n")).collect();
    let mut sources = Sources::inline("compose.yaml", &format!("services:\n{many}"));
    sources.insert("big.env".to_owned(), format!("A={}\n", "x".repeat(900_000)).into());
    let told = told_of(&sources, &Variables::new());
    assert!(told.contains("the project is too large"), "{told}");
}

#[test]
fn long_chains_of_includes_and_extensions_are_refused() {
    let files = (0..100).map(|index| {
        let name = if index == 0 { "compose.yaml".to_owned() } else { format!("{index}.yaml") };
        (name, format!("include: [{}.yaml]\n", index + 1).into())
    });
    let told = told_of(&files.collect(), &Variables::new());
    assert!(told.contains("includes are nested more than"), "{told}");
    let chain: String = (0..100).map(|index| format!("  s{index}: {{extends: s{}}}\n", index + 1)).collect();
    let told = told_of(
        &Sources::inline("compose.yaml", &format!("services:\n{chain}  s100: {{image: a}}\n")),
        &Variables::new(),
    );
    assert!(told.contains("services extend one another"), "{told}");
}

use proptest::prelude::*;
use serde_json::json;

use super::*;

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const ME: Principal<'_> = Principal { account: "000000000000", name: "me" };

fn asked<'a>(action: &'a str, resource: &'a str) -> Question<'a> {
    Question { principal: ME, action, resource }
}

fn identity(statement: Value) -> Policy {
    Policy::of_identity(&json!({"Version": "2012-10-17", "Statement": statement})).unwrap()
}

fn resource(statement: Value) -> Result<Policy, MalformedPolicy> {
    Policy::of_resource(&json!({"Version": "2012-10-17", "Statement": statement}).to_string())
}

#[test]
fn a_statement_speaks_of_its_actions_and_resources() {
    let policy = identity(json!({
        "Effect": "Allow",
        "Action": ["kinesis:Put*", "kinesis:GetRecord?"],
        "Resource": "arn:aws:kinesis:*:*:stream/ord*",
    }));
    let allowed = |action: &str, resource: &str| {
        policy.effect(&asked(action, resource)) == Some(Effect::Allow)
    };
    assert!(allowed("kinesis:PutRecord", STREAM));
    assert!(allowed("KINESIS:putrecords", STREAM));
    assert!(allowed("kinesis:GetRecords", STREAM));
    assert!(allowed("kinesis:PutRecord", &format!("{STREAM}/consumer/c:1")));
    assert!(!allowed("kinesis:GetRecord", STREAM));
    assert!(!allowed("kinesis:GetShardIterator", STREAM));
    assert!(!allowed("kinesis:PutRecord", &STREAM.replace("orders", "Orders")));
    assert!(!allowed("kinesis:PutRecord", "*"));
    let everything = identity(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
    assert_eq!(everything.effect(&asked("kinesis:ListStreams", "*")), Some(Effect::Allow));
}

#[test]
fn a_denial_counts_more_than_what_is_allowed_in_any_order() {
    let allow = json!({"Effect": "Allow", "Action": "kinesis:*", "Resource": "*"});
    let deny = json!({"Effect": "Deny", "Action": "kinesis:Delete*", "Resource": "*"});
    for statements in [json!([allow, deny]), json!([deny, allow])] {
        let policy = identity(statements);
        assert_eq!(policy.effect(&asked("kinesis:DeleteStream", STREAM)), Some(Effect::Deny));
        assert_eq!(policy.effect(&asked("kinesis:PutRecord", STREAM)), Some(Effect::Allow));
        assert_eq!(policy.effect(&asked("s3:PutObject", STREAM)), None);
    }
}

#[test]
fn principals_are_named_in_several_ways() {
    let speaks_of_me = |principal: Value| {
        let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "kinesis:*"});
        resource(statement).unwrap().effect(&asked("kinesis:PutRecord", STREAM)).is_some()
    };
    for principal in [
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": "000000000000"}),
        json!({"AWS": "arn:aws:iam::000000000000:root"}),
        json!({"AWS": "arn:aws-cn:iam::000000000000:user/me"}),
        json!({"AWS": "me"}),
        json!({"AWS": ["123456789012", "me"]}),
    ] {
        assert!(speaks_of_me(principal.clone()), "{principal}");
    }
    for principal in [
        json!({"AWS": "123456789012"}),
        json!({"AWS": "arn:aws:iam::123456789012:user/me"}),
        json!({"AWS": "arn:aws:iam::000000000000:user/Me"}),
        json!({"AWS": "arn:aws:iam::000000000000:user/path/me"}),
        json!({"AWS": "arn:aws:iam::000000000000:role/me"}),
        json!({"AWS": "arn:aws:sts::000000000000:assumed-role/me/me"}),
        json!({"AWS": "you"}),
    ] {
        assert!(!speaks_of_me(principal.clone()), "{principal}");
    }
}

#[test]
fn the_policy_of_a_resource_may_name_it() {
    let policy = |arn: &str| {
        let statement =
            json!({"Effect": "Allow", "Principal": "*", "Action": "kinesis:*", "Resource": arn});
        resource(statement).unwrap()
    };
    let question = asked("kinesis:PutRecord", STREAM);
    assert_eq!(policy(STREAM).effect(&question), Some(Effect::Allow));
    assert_eq!(policy(&STREAM.replace("orders", "others")).effect(&question), None);
}

#[test]
fn what_is_not_understood_is_refused_and_named() {
    let whole = json!({"Sid": "1", "Effect": "Allow", "Action": "kinesis:*", "Resource": STREAM});
    let with = |name: &str, value: Value| {
        let mut statement = whole.clone();
        statement[name] = value;
        json!({"Version": "2012-10-17", "Statement": [whole, statement]})
    };
    for (document, named) in [
        (json!([]), "is no JSON object"),
        (json!({}), "Version is not one of"),
        (json!({"Version": "2012-10-17"}), "Statement is neither"),
        (json!({"Version": "2012-10-17", "Statement": []}), "Statement is neither"),
        (json!({"Version": "2012-10-17", "Statement": whole, "X": 1}), "X is not supported"),
        (with("Condition", json!({})), "Statement[1].Condition is not supported"),
        (with("NotAction", json!("*")), "Statement[1].NotAction is not supported"),
        (with("NotResource", json!("*")), "Statement[1].NotResource is not supported"),
        (with("NotPrincipal", json!("*")), "Statement[1].NotPrincipal is not supported"),
        (with("Principal", json!("*")), "Statement[1].Principal is whose policy it is"),
        (with("Effect", json!("allow")), "Statement[1].Effect is neither"),
        (with("Action", json!([])), "Statement[1].Action is neither"),
        (with("Action", json!([7])), "Statement[1].Action is neither"),
        (with("Action", json!("PutRecord")), "Statement[1].Action \"PutRecord\" is not an"),
        (with("Action", json!("kinesis:")), "is not an action"),
        (with("Action", json!("kinesis:a:b")), "is not an action"),
        (with("Resource", json!(null)), "Statement[1].Resource is neither"),
        (with("Resource", json!("orders")), "is neither an ARN nor *"),
        (with("Resource", json!("arn:aws:kinesis:*:*:stream/${aws:username}")), "variable"),
    ] {
        let text = Policy::of_identity(&document).unwrap_err().to_string();
        assert!(text.contains(named), "{document}: {text}");
    }
    for principal in [
        json!(null),
        json!("me"),
        json!({}),
        json!([]),
        json!({"Service": "lambda.amazonaws.com"}),
        json!({"AWS": ""}),
        json!({"AWS": "arn:aws:iam::000000000000:user/*"}),
        json!({"AWS": "arn:aws:iam::000000000000:user/"}),
        json!({"AWS": "arn:aws:iam::0:root"}),
        json!({"AWS": "arn:aws:s3:::bucket"}),
        json!({"AWS": "what is this"}),
    ] {
        let statement = json!({"Effect": "Allow", "Action": "kinesis:*", "Principal": principal});
        let text = resource(statement).unwrap_err().to_string();
        assert!(text.starts_with("Statement[0].Principal"), "{principal}: {text}");
    }
}

#[test]
fn a_refusal_is_short_and_printable() {
    let long = format!("\0{}", "x".repeat(100_000));
    let document = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": long, "Resource": "*"}});
    let text = Policy::of_identity(&document).unwrap_err().to_string();
    assert!(text.len() < 1000 && !text.contains('\0'));
}

/// The definition, without any care for time.
fn stands_for(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|taken| stands_for(rest, &text[taken..])),
        (Some((b'?', pattern)), Some((_, text))) => stands_for(pattern, text),
        (Some((left, pattern)), Some((right, text))) => left == right && stands_for(pattern, text),
        _ => false,
    }
}

proptest! {
    #[test]
    fn wildcards_stand_for_what_they_are_defined_to(
        pattern in "arn:[ab*?]{0,8}",
        text in "arn:[ab]{0,8}",
    ) {
        let parsed = pattern::of_resource(&pattern).unwrap();
        prop_assert_eq!(parsed.matches(&text), stands_for(pattern.as_bytes(), text.as_bytes()));
    }
}

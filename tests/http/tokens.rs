//! Tokens (JWT): what is not exactly what the host has said is 401, whatever is wrong with it.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::SecretString;
use serde_json::{Value, json};
use vip_core::ports::{Clock, SystemClock};
use vip_http::auth::{TokenAlgorithm, TokenKey, TokenKeysError, TokenSettings, Tokens};
use vip_http::{Api, limits};

use crate::app::{App, Key};

/// The first key of the test vectors of Ed25519 (RFC 8032, 7.1): everybody knows it.
const SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5,
    0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
const PUBLIC: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];
/// What stands before the bytes of a key in DER: private (PKCS#8), and public.
const PRIVATE_DER: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const PUBLIC_DER: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "vip";
const SHARED: &str = "a secret of both sides, long enough";

fn public_pem() -> String {
    let der = [PUBLIC_DER.as_slice(), PUBLIC.as_slice()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn signing() -> EncodingKey {
    EncodingKey::from_ed_der(&[PRIVATE_DER.as_slice(), SEED.as_slice()].concat())
}

fn now() -> i64 {
    SystemClock.now().as_micros() / 1_000_000
}

fn head() -> Header {
    let mut head = Header::new(Algorithm::EdDSA);
    (head.kid, head.typ) = (Some("current".to_owned()), Some("at+jwt".to_owned()));
    head
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "panel", "exp": now() + 600, "nbf": now() - 1, "tenant": "acme",
        "scope": "openid tenant:read",
    })
}

/// Changes one claim; null takes it away.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    if !value.is_null() {
        claims[name] = value;
    }
    claims
}

fn token(head: &Header, claims: &Value) -> String {
    encode(head, claims, &signing()).unwrap()
}

/// Puts a head as text before claims and a signature: what no library would write.
fn raw(head: &str, claims: &Value, signature: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", part(head), part(&claims.to_string()))
}

/// Signs a head as text, as whoever has the key could.
fn signed(head: &str, claims: &Value) -> String {
    let unsigned = raw(head, claims, "");
    let unsigned = unsigned.trim_end_matches('.');
    let signature = jsonwebtoken::crypto::sign(unsigned.as_bytes(), &signing(), Algorithm::EdDSA).unwrap();
    format!("{unsigned}.{signature}")
}

fn keys() -> [TokenKey; 2] {
    let current = TokenKey::public("current", TokenAlgorithm::EdDsa, &public_pem()).unwrap();
    [current, TokenKey::secret("shared", &SecretString::from(SHARED)).unwrap()]
}

fn settings() -> TokenSettings {
    TokenSettings::new(ISSUER, AUDIENCE)
}

async fn app() -> App {
    let mut app = App::accepting().await;
    app.router = Api::new(&app.provisioner, Tokens::new(keys(), settings()).unwrap()).unwrap().application();
    app
}

async fn status_of(app: &App, token: String) -> u16 {
    let answer = app.get(&Key(token), "/v1/servers").await;
    if answer.status == 401 {
        assert_eq!((answer.code(), answer.header("www-authenticate")), ("unauthenticated", "Bearer"));
    }
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_who_it_is_of_which_tenant_and_what_it_may_do() {
    let app = app().await;
    assert_eq!(status_of(&app, token(&head(), &claims())).await, 200);
    let forms = [
        claims_with("aud", json!(["other", AUDIENCE])),
        claims_with("nbf", Value::Null),
        claims_with("nbf", json!(1.5)),
        // The issuer's clock may differ by half a minute; 5 s are left for a busy machine.
        claims_with("exp", json!(now() - 25)),
        claims_with("nbf", json!(now() + 25)),
    ];
    for claims in forms {
        assert_eq!(status_of(&app, token(&head(), &claims)).await, 200, "{claims}");
    }
    let mut typ = head();
    typ.typ = Some("application/AT+JWT".to_owned());
    assert_eq!(status_of(&app, token(&typ, &claims())).await, 200);
    let mut shared = Header::new(Algorithm::HS256);
    (shared.kid, shared.typ) = (Some("shared".to_owned()), Some("at+jwt".to_owned()));
    let of_secret = encode(&shared, &claims(), &EncodingKey::from_secret(SHARED.as_bytes())).unwrap();
    assert_eq!(status_of(&app, of_secret).await, 200);
    for claims in [
        claims_with("scope", json!("tenant:write")),
        claims_with("scope", Value::Null),
        claims_with("tenant", Value::Null),
    ] {
        assert_eq!(status_of(&app, token(&head(), &claims)).await, 403, "{claims}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_wrong_or_missing_claims_is_401() {
    let app = app().await;
    let mut wrong = Vec::new();
    for name in ["exp", "aud", "iss", "sub"] {
        wrong.push(claims_with(name, Value::Null));
        wrong.push(claims_with(name, json!("")));
        wrong.push(claims_with(name, json!({})));
        wrong.push(claims_with(name, json!([])));
    }
    wrong.extend([
        claims_with("exp", json!(now() - 31)),
        claims_with("exp", json!((now() + 600).to_string())),
        claims_with("exp", json!(-1)),
        claims_with("nbf", json!(now() + 40)),
        claims_with("nbf", json!((now() + 40).to_string())),
        claims_with("aud", json!("another")),
        claims_with("aud", json!(["another"])),
        claims_with("iss", json!(format!("{ISSUER}/"))),
        claims_with("iss", json!([ISSUER])),
        claims_with("sub", json!("two words")),
        claims_with("sub", json!(7)),
        claims_with("tenant", json!("no tenant has this name")),
        claims_with("tenant", json!(["acme"])),
        claims_with("scope", json!(["tenant:read"])),
    ]);
    for claims in wrong {
        assert_eq!(status_of(&app, token(&head(), &claims)).await, 401, "{claims}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_chooses_its_own_algorithm_or_key_is_401() {
    let app = app().await;
    let with = |change: &dyn Fn(&mut Header)| {
        let mut head = head();
        change(&mut head);
        token(&head, &claims())
    };
    let good = token(&head(), &claims());
    let critical = |what: &str| format!(r#"{{"alg":"EdDSA","kid":"current","typ":"at+jwt","crit":{what}}}"#);
    let plain = signed(r#"{"alg":"EdDSA","kid":"current","typ":"at+jwt","x":1}"#, &claims());
    assert_eq!(status_of(&app, plain).await, 200, "what is signed by hand is good without what the cases add");
    let signature = good.rsplit('.').next().unwrap();
    let mut confused = Header::new(Algorithm::HS256);
    (confused.kid, confused.typ) = (Some("current".to_owned()), Some("at+jwt".to_owned()));
    let pem = public_pem();
    let hs = |secret: &[u8]| encode(&confused, &claims(), &EncodingKey::from_secret(secret)).unwrap();
    let key = |text: &str| with(&|head| head.kid = Some(text.to_owned()));
    let cases = [
        ("none", raw(r#"{"alg":"none","kid":"current","typ":"at+jwt"}"#, &claims(), "")),
        ("None", raw(r#"{"alg":"None","kid":"current","typ":"at+jwt"}"#, &claims(), signature)),
        ("HS with the public key", hs(pem.as_bytes())),
        ("HS with the bytes of the public key", hs(&PUBLIC)),
        ("HS with nothing", hs(b"")),
        ("EdDSA under the name of a secret", key("shared")),
        ("another algorithm", signed(r#"{"alg":"ES256","kid":"current","typ":"at+jwt"}"#, &claims())),
        ("lower case", signed(r#"{"alg":"eddsa","kid":"current","typ":"at+jwt"}"#, &claims())),
        ("no algorithm", signed(r#"{"kid":"current","typ":"at+jwt"}"#, &claims())),
        ("algorithm twice", signed(r#"{"alg":"none","alg":"EdDSA","kid":"current","typ":"at+jwt"}"#, &claims())),
        ("no kid", with(&|head| head.kid = None)),
        ("empty kid", key("")),
        ("unknown kid", key("Current")),
        ("a path as kid", key("../../../../dev/null")),
        ("a query as kid", key("x' UNION SELECT 'secret' --")),
        ("kid is no text", signed(r#"{"alg":"EdDSA","kid":["current"],"typ":"at+jwt"}"#, &claims())),
        ("no typ", with(&|head| head.typ = None)),
        ("another typ", with(&|head| head.typ = Some("JWT".to_owned()))),
        ("an id token", with(&|head| head.typ = Some("id+jwt".to_owned()))),
        // RFC 7515, 4.1.11: what has to be understood and is not makes a token invalid, whoever has signed it; so does an
        // empty list, and one of names that are the standard's own.
        ("critical", signed(&critical(r#"["b64"],"b64":false"#), &claims())),
        ("critical of ours", signed(&critical(r#"["exp"],"exp":1"#), &claims())),
        ("critical nothing", signed(&critical("[]"), &claims())),
        ("critical is no list", signed(&critical("true"), &claims())),
        ("critical null", signed(&critical("null"), &claims())),
        ("a key of its own", with(&|head| (head.kid, head.jku) = (None, Some("https://evil.example".to_owned())))),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned()),
        ("empty signature", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("four parts", format!("{good}.x")),
        (
            "other claims under its signature",
            raw(r#"{"alg":"EdDSA","kid":"current","typ":"at+jwt"}"#, &claims_with("tenant", json!("other")), signature),
        ),
        ("an API key", app.acme.0.clone()),
        ("nothing", String::new()),
    ];
    for (name, token) in cases {
        assert_eq!(status_of(&app, token).await, 401, "{name}");
    }
    assert_eq!(status_of(&app, good).await, 200);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_at_most_eight_kib() {
    let app = app().await;
    let of = |length: usize| {
        let short = token(&head(), &claims_with("pad", json!("")));
        // Three bytes are four characters; the rest is filled beside it.
        let pad = (length - short.len()) * 3 / 4;
        (0..8)
            .map(|more| token(&head(), &claims_with("pad", json!("p".repeat(pad + more - 4)))))
            .find(|it| it.len() == length)
    };
    let (fits, too_long) = (limits::TOKEN_BYTES, limits::TOKEN_BYTES + 1);
    // Not every length is one of a token: the next ones that are.
    let fits = (0..4).find_map(|less| of(fits - less)).unwrap();
    let too_long = (0..4).find_map(|more| of(too_long + more)).unwrap();
    assert_eq!(status_of(&app, fits).await, 200);
    assert_eq!(status_of(&app, too_long).await, 401);
    app.end().await;
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Makes a key of an elliptic curve: what signs, in PKCS#8, and what verifies, in PEM.
fn curve_key(curve: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, String) {
    let pair = EcdsaKeyPair::generate(curve).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), pem("PUBLIC KEY", public.as_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_each_algorithm_is_good_under_a_key_of_it_and_under_no_other() {
    let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let rsa_pem = pem("PUBLIC KEY", rsa_public.as_ref());
    let of_rsa = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", rsa_private.as_ref()).as_bytes()).unwrap();
    let (curve_private, curve_pem) = curve_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let of_curve = EncodingKey::from_ec_der(&curve_private);
    let cases = [
        (TokenAlgorithm::Rs256, Algorithm::RS256, &rsa_pem, of_rsa.clone()),
        (TokenAlgorithm::Ps256, Algorithm::PS256, &rsa_pem, of_rsa),
        (TokenAlgorithm::Es256, Algorithm::ES256, &curve_pem, of_curve),
        (TokenAlgorithm::EdDsa, Algorithm::EdDSA, &public_pem(), signing()),
    ];
    let named = cases.iter().map(|(ours, _, pem, _)| TokenKey::public(format!("{ours:?}"), *ours, pem).unwrap());
    let tokens = Tokens::new(named, settings()).unwrap();
    let mut app = App::accepting().await;
    app.router = Api::new(&app.provisioner, tokens).unwrap().application();
    for (_, algorithm, _, key) in &cases {
        for (of_key, ..) in &cases {
            let mut head = Header::new(*algorithm);
            (head.kid, head.typ) = (Some(format!("{of_key:?}")), Some("at+jwt".to_owned()));
            let expected =
                if format!("{of_key:?}").eq_ignore_ascii_case(&format!("{algorithm:?}")) { 200 } else { 401 };
            let status = status_of(&app, encode(&head, &claims(), key).unwrap()).await;
            assert_eq!(status, expected, "{algorithm:?} under {of_key:?}");
        }
    }
    app.end().await;

    let (other_curve_private, other_curve) = curve_key(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let wrong = [
        (TokenAlgorithm::Es256, other_curve),
        (TokenAlgorithm::Es256, pem("PRIVATE KEY", &other_curve_private)),
        (TokenAlgorithm::Es256, rsa_pem.clone()),
        (TokenAlgorithm::Rs256, curve_pem),
        (TokenAlgorithm::Rs256, pem("PRIVATE KEY", rsa_private.as_ref())),
        (TokenAlgorithm::EdDsa, rsa_pem),
    ];
    for (algorithm, pem) in wrong {
        let refused = TokenKey::public("k", algorithm, &pem);
        assert!(matches!(refused, Err(TokenKeysError::Key { .. })), "{algorithm:?} {refused:?}");
    }
}

#[test]
fn what_cannot_verify_tokens_is_refused_before_the_first_one() {
    let secret = |length: usize| TokenKey::secret("k", &SecretString::from("s".repeat(length)));
    assert!(secret(limits::TOKEN_SECRET_BYTES).is_ok());
    assert!(matches!(secret(limits::TOKEN_SECRET_BYTES - 1), Err(TokenKeysError::SecretTooShort { .. })));
    let wrong = TokenKey::public("k", TokenAlgorithm::Rs256, &public_pem());
    assert!(matches!(wrong, Err(TokenKeysError::Key { .. })), "{wrong:?}");
    let one = |id: String| TokenKey::public(id, TokenAlgorithm::EdDsa, &public_pem()).unwrap();
    let many = |count: usize| Tokens::new((0..count).map(|number| one(number.to_string())), settings());
    assert!(many(limits::TOKEN_KEYS).is_ok());
    for count in [0, limits::TOKEN_KEYS + 1] {
        assert!(matches!(many(count), Err(TokenKeysError::Count { found }) if found == count));
    }
    let twice = Tokens::new([one("k".to_owned()), one("k".to_owned())], settings());
    assert!(matches!(twice, Err(TokenKeysError::Twice { .. })));
    let mut late = settings();
    late.leeway = limits::TOKEN_LEEWAY;
    assert!(Tokens::new(keys(), late.clone()).is_ok());
    late.leeway += std::time::Duration::from_nanos(1);
    assert!(matches!(Tokens::new(keys(), late), Err(TokenKeysError::Setting { setting: "leeway", .. })));
    assert!(Tokens::new(keys(), TokenSettings::new("", AUDIENCE)).is_err());
    let shown = format!("{:?}", Tokens::new(keys(), settings()).unwrap());
    assert!(!shown.contains(SHARED) && shown.contains("current"), "{shown}");
}

//! Lists: filters, sorting, pages.

use http::Method;
use serde_json::{Value, json};

use super::{Bench, error_code, order};

fn fleet() -> Bench {
    let bench = Bench::new();
    for (name, env) in [("b", "prod"), ("a", "prod"), ("c", "test")] {
        let mut wanted = order(name);
        wanted["labels"] = json!({"env": env});
        assert_eq!(bench.call(Method::POST, "/v1/servers", Some(wanted)).0, 201);
    }
    bench
}

#[test]
fn filters_select_by_name_label_and_status() {
    let mut bench = fleet();
    assert_eq!(bench.names("/v1/servers?name=a"), ["a"]);
    assert_eq!(bench.names("/v1/servers?name=A"), Vec::<String>::new());
    assert_eq!(bench.names("/v1/servers?label_selector=env%3Dprod"), ["b", "a"]);
    assert_eq!(bench.names("/v1/servers?label_selector=env+in+%28test%2Cstaging%29"), ["c"]);
    bench.pass(60_000);
    bench.create("d");
    assert_eq!(bench.names("/v1/servers?status=initializing"), ["d"]);
    assert_eq!(bench.names("/v1/servers?status=initializing&status=running").len(), 4);
}

#[test]
fn lists_sort_by_id_unless_asked() {
    let bench = fleet();
    assert_eq!(bench.names("/v1/servers"), ["b", "a", "c"]);
    assert_eq!(bench.names("/v1/servers?sort=id:desc"), ["c", "a", "b"]);
    assert_eq!(bench.names("/v1/servers?sort=name"), ["a", "b", "c"]);
    assert_eq!(bench.names("/v1/servers?sort=created&sort=name:desc"), ["c", "b", "a"]);
}

#[test]
fn wrong_parameters_are_refused() {
    let bench = Bench::new();
    for path in [
        "/v1/servers?status=gone",
        "/v1/servers?sort=color",
        "/v1/servers?sort=name:up",
        "/v1/servers?label_selector=a%20among%20(b)",
        "/v1/servers?label_selectr=a",
        "/v1/servers?page=0",
        "/v1/servers?per_page=0",
        "/v1/servers?per_page=51",
        "/v1/servers?per_page=many",
        "/v1/actions?id=x",
    ] {
        let (status, body) = bench.get(path);
        assert_eq!((status, error_code(&body)), (422, "invalid_input"), "{path}");
    }
    assert_eq!(bench.get("/v1/servers?per_page=50").0, 200);
}

#[test]
fn pages_tell_where_the_others_are() {
    let bench = fleet();
    let page = |number: u32| bench.get(&format!("/v1/servers?per_page=2&page={number}")).1;
    let pagination = |page: &Value| page["meta"]["pagination"].clone();
    let (first, second, third) = (page(1), page(2), page(3));
    assert_eq!(
        pagination(&first),
        json!({"page": 1, "per_page": 2, "previous_page": null, "next_page": 2, "last_page": 2,
               "total_entries": 3})
    );
    assert_eq!(second["servers"].as_array().unwrap().len(), 1);
    assert_eq!(pagination(&second)["next_page"], Value::Null);
    assert_eq!(third["servers"], json!([]));
}

#[test]
fn link_header_keeps_the_filters() {
    let bench = fleet();
    let path = "/v1/servers?name=a&per_page=1&label_selector=env%3Dprod";
    let response = bench.try_call(Method::GET, path, None).unwrap();
    let link = response.headers()["link"].to_str().unwrap();
    assert_eq!(
        link,
        "<http://sim.example/v1/servers?page=1&name=a&per_page=1&label_selector=env%3Dprod>; \
         rel=\"last\""
    );
}

#[test]
fn actions_are_found_by_id_by_server_and_by_status() {
    let mut bench = Bench::new();
    let (first, create) = bench.create("a");
    let (_, other) = bench.create("b");
    let ids = |body: &Value| -> Vec<u64> {
        let actions = body["actions"].as_array().unwrap();
        actions.iter().map(|action| action["id"].as_u64().unwrap()).collect()
    };
    let many = format!("/v1/actions?id={create}&id={other}&id=7");
    assert_eq!(ids(&bench.get(&many).1), [create, other]);
    let of_server = format!("/v1/servers/{first}/actions?sort=id:desc");
    assert_eq!(ids(&bench.get(&of_server).1), [create + 1, create]);
    assert_eq!(ids(&bench.get("/v1/servers/actions?status=running").1).len(), 4);
    bench.pass(60_000);
    assert_eq!(ids(&bench.get("/v1/servers/actions?status=running").1), Vec::<u64>::new());
}

#[test]
fn listing_all_actions_is_gone() {
    let (status, body) = Bench::new().get("/v1/actions");
    assert_eq!((status, error_code(&body)), (410, "deprecated_api_endpoint"));
}

#[test]
fn ssh_keys_are_unique_by_name_and_by_key() {
    let bench = Bench::new();
    let post = |name: &str, body: &str| {
        let key = format!("ssh-ed25519 {body} somebody");
        bench.call(Method::POST, "/v1/ssh_keys", Some(json!({"name": name, "public_key": key})))
    };
    assert_eq!(post("new", "AAAAC3NzaC1lZDI1NTE5AAAA").0, 201);
    let (status, body) = post("new", "AAAAC3NzaC1lZDI1NTE5BBBB");
    assert_eq!((status, &body["error"]["details"]["fields"][0]["name"]), (409, &json!("name")));
    let (status, body) = post("newer", "AAAAC3NzaC1lZDI1NTE5AAAA");
    assert_eq!(status, 409);
    assert_eq!(body["error"]["details"]["fields"][0]["name"], "public_key");
    assert_eq!(post("newest", "???").0, 422);
    assert_eq!(bench.get("/v1/ssh_keys?name=ops").1["ssh_keys"].as_array().unwrap().len(), 1);
}

#[test]
fn images_are_selected_by_name_and_architecture() {
    let (_, body) = Bench::new().get("/v1/images?name=ubuntu-24.04&architecture=arm");
    let images = body["images"].as_array().unwrap();
    assert_eq!((images.len(), &images[0]["architecture"]), (1, &json!("arm")));
}

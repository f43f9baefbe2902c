use serde_json::json;

use super::*;

fn render(template: &str) -> String {
    let data = json!({
        "Name": "/web", "Id": "0123456789abcdef", "Count": 3, "Size": 1.5, "Up": true, "Empty": "", "None": null,
        "List": ["a", "b", "c"], "Map": {"z": 1, "a": 2}, "State": {"Status": "running", "Pid": 42, "Health": null},
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null},
        "Config": {"Labels": {"com.example.a": "x"}, "Env": ["A=1", "B=2"], "Cmd": null},
    });
    match Template::parse(template).and_then(|template| template.render(&data)) {
        Ok(text) => text,
        Err(error) => format!("ERROR {error}"),
    }
}

/// Each as Go's text/template with Docker's functions fills it in.
#[test]
fn templates_are_filled_in_as_by_go() {
    for (template, expected) in [
        ("plain", "plain"),
        ("", ""),
        ("{{.Name}} {{.State.Pid}}", "/web 42"),
        ("{{json .State}}", r#"{"Health":null,"Pid":42,"Status":"running"}"#),
        ("{{.List}} {{.Map}} {{.Size}} {{.Up}}", "[a b c] map[a:2 z:1] 1.5 true"),
        ("{{range .List}}{{.}};{{end}}", "a;b;c;"),
        ("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=a 1=b 2=c "),
        ("{{range $k, $v := .Map}}{{$k}}{{$v}}{{end}}", "a2z1"),
        ("{{range $v := .List}}{{$v}}{{$.Count}}{{end}}", "a3b3c3"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
        ("{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
        (
            "{{range $p, $c := .Ports}}{{$p}}->{{with $c}}{{(index . 0).HostPort}}{{else}}-{{end}} {{end}}",
            "80/tcp->8080 81/tcp->- ",
        ),
        ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{if .Up}}up{{else}}down{{end}}", "up"),
        ("{{if .Empty}}1{{else if .None}}2{{else}}3{{end}}", "3"),
        ("{{if .State.Health}}h{{else}}no{{end}}", "no"),
        ("{{if and .Up (gt .Count 2)}}yes{{end}}", "yes"),
        ("{{or .Empty .Name}} {{and .Up .Empty}}|{{not .Up}}", "/web |false"),
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        ("{{index .Config.Labels \"com.example.a\"}}", "x"),
        ("{{index .Config.Labels \"nothing\"}}", ""),
        ("{{join .List \", \"}} {{len .List}} {{len .Name}}", "a, b, c 3 4"),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"a tale of two\"}}", "/WEB abc A Tale Of Two"),
        ("{{title \"snake_case it's x-y é—z 1st\"}}", "Snake_case It'S X-Y É—z 1st"),
        ("{{split \"a:b\" \":\"}} {{truncate .Id 4}}|{{pad .Name 1 2}}|", "[a b] 0123| /web  |"),
        (
            "{{printf \"%s-%d-%v-%q-%5s|%-5s|%05d|%.2f|%t|%x|%%\" .Name .Count .List .Name \"ab\" \"ab\" .Count .Size .Up .Count}}",
            "/web-3-[a b c]-\"/web\"-   ab|ab   |00003|1.50|true|3|%",
        ),
        ("{{println .Count .Name}}", "3 /web\n"),
        ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
        ("{{$x := .Count}}{{$x}}{{$x = 5}}{{$x}}", "35"),
        ("{{slice .Id 0 3}} {{slice .List 1}}", "012 [b c]"),
        ("{{eq .Count 1 3}} {{ne .Name \"x\"}} {{lt 1 2}} {{ge \"b\" \"a\"}}", "true true true true"),
        ("a {{- .Count -}} b", "a3b"),
        ("{{/* nothing */}}x{{- /* trimmed */ -}}  y", "xy"),
        (r"{{.Count}}\t{{.Name}}\n", "3\t/web\n"),
        ("{{`raw \\n`}}{{\"esc\\taped\"}}", "raw \\nesc\taped"),
        ("{{.State.Nothing}}", "<no value>"),
        ("{{.State.Health}} {{.Config.Cmd}} {{json .Config.Cmd}}", "<nil> [] null"),
        ("{{$c := .Config}}{{$c.Cmd}} {{$c.Nothing}}", "[] <no value>"),
        ("{{true}} {{-5}}", "true -5"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
    ] {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn mistakes_are_told() {
    for (template, expected) in [
        ("{{.Nmae}}", "there is no field \".Nmae\""),
        ("{{nothing .Name}}", "function \"nothing\" is not defined"),
        ("{{if .Up}}x", "has no {{end}}"),
        ("{{end}}", "without a beginning"),
        ("{{.Name", "\"}}\" is missing"),
        ("{{}}", "empty"),
        ("{{.Name .Up}}", "only a function"),
        ("{{index .List 7}}", "outside"),
        ("{{upper .Count}}", "no string"),
        ("{{$x}}", "not defined"),
        ("{{\"open}}", "no end"),
        ("{{range .Count}}{{end}}", "cannot go over"),
        ("{{pad .Name 99999999 1}}", "no number from"),
        ("{{printf \"%99999d\" 1}}", "bad width"),
        ("{{define \"x\"}}{{end}}", "no use"),
    ] {
        let text = render(template);
        assert!(text.starts_with("ERROR template: ") && text.contains(expected), "{template}: {text}");
    }
    assert!(render(&"{{if .Up}}".repeat(1000)).contains("too deep"));
    assert!(render("{{(").contains("ERROR"));
    assert!(render(&format!("{{{{{}1{}}}}}", "(".repeat(500), ")".repeat(500))).contains("too deep"));
    let list = "{{$l := split (printf \"%04000d\" 1) \"0\"}}";
    let loops = format!("{list}{}x{}", "{{range $l}}".repeat(8), "{{end}}".repeat(8));
    assert!(render(&loops).contains("too much"));
    let doubled = format!("{{{{$x := .Id}}}}{}{{{{len $x}}}}", "{{$x = printf \"%s%s\" $x $x}}".repeat(60));
    assert!(render(&doubled).contains("too long"));
    assert!(render(&"x".repeat(MAX_BYTES + 1)).contains("more than"));
}

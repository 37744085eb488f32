//! The contract as `untag proto` writes it: compilers generate from it, without anything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tempfile::TempDir;

use crate::{Printed, Sample, assert_has, support, tool};

const CONTRACT: &str = "ram/tag/v1/tag_service.proto";
const CHANGES: &str = "ram/tag/v1/change_service.proto";
const USERS: &str = "ram/user/v1/user.proto";
const USER_SERVICE: &str = "ram/user/v1/user_service.proto";
const RULES: &str = "buf/validate/validate.proto";

/// A folder that has what `untag proto` writes, in `in`, and where things may be generated, in `out`.
struct Contract {
    folder: TempDir,
    files: Vec<String>,
}

impl Contract {
    fn write(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        let target = folder.path().join("in");
        let written = support::run(&[&["proto", target.to_str().unwrap()], flags].concat());
        assert!(written.status.success(), "{written:?}");
        let files = String::from_utf8(written.stdout).unwrap();
        let files = files.lines().map(str::to_owned).collect();
        Self { folder, files }
    }

    /// Both forms of the contract.
    fn both() -> [Self; 2] {
        [Self::write(&[]), Self::write(&["--plain"])]
    }

    /// Runs a compiler in the folder, on all files.
    fn compile(&self, command: &mut Command, arguments: &[&str]) {
        command.current_dir(self.folder.path()).args(arguments);
        Printed::of(command.args(&self.files)).success();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// The paths of the files below a folder.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap();
                files.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    files
}

#[test]
fn proto_writes_the_contract_with_and_without_its_rules() {
    let [ruled, plain] = Contract::both();
    assert_eq!(ruled.files, [CONTRACT, USERS, CHANGES, USER_SERVICE, RULES]);
    assert_eq!(plain.files, [CONTRACT, USERS, CHANGES, USER_SERVICE]);
    for contract in [&ruled, &plain] {
        let written = files_below(&contract.path("in"));
        assert_eq!(written, contract.files.iter().cloned().collect());
        let set = ["-I", "in", "--descriptor_set_out=out/set"];
        contract.compile(&mut Command::new("protoc"), &set);
    }
    for name in &plain.files {
        assert_same_but_for_options(&ruled, &plain, name);
        let text = fs::read_to_string(plain.path("in").join(name)).unwrap();
        assert!(
            !text.contains("buf.validate") && !text.contains(RULES),
            "{text}"
        );
    }

    let existing = tempfile::NamedTempFile::new().unwrap();
    let refused = support::run(&["proto", existing.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert_has(&reason, &["cannot write", CONTRACT]);
}

/// Asserts that both forms of a file have the same messages and methods, in all but their options.
fn assert_same_but_for_options(ruled: &Contract, plain: &Contract, name: &str) {
    let [mut ruled, plain] = [ruled, plain].map(|contract| {
        let set = fs::read(contract.path("out/set")).unwrap();
        let files = FileDescriptorSet::decode(&*set).unwrap().file;
        let file = files.into_iter().find(|file| file.name() == name);
        file.unwrap()
    });
    ruled.dependency.retain(|import| import != RULES);
    for message in &mut ruled.message_type {
        message.options = None;
        let oneofs = message.oneof_decl.iter_mut();
        oneofs.for_each(|oneof| oneof.options = None);
        let fields = message.field.iter_mut();
        fields.for_each(|field| field.options = None);
    }
    assert_eq!(ruled, plain);
    assert!(ruled.options.unwrap().go_package().contains('/'));
}

#[test]
fn proto_is_a_module_of_buf() {
    let buf = || tool("npm/node_modules/.bin/buf");
    for contract in Contract::both() {
        Printed::of(buf().current_dir(contract.path("in")).arg("build")).success();
        let format = ["format", "--diff", "--exit-code", "--path", "ram"];
        Printed::of(buf().current_dir(contract.path("in")).args(format)).success();
        let template = r#"{"version": "v2", "plugins": [{"protoc_builtin": "cpp", "out": "out"}]}"#;
        let generate = ["generate", "in", "--template", template];
        Printed::of(buf().current_dir(contract.folder.path()).args(generate)).success();
        assert!(contract.path("out/ram/tag/v1/tag_service.pb.h").exists());
    }
    // And so is the repository.
    let folder = tempfile::tempdir().unwrap();
    let export = ["export", env!("CARGO_MANIFEST_DIR"), "--output"];
    Printed::of(buf().args(export).arg(folder.path())).success();
    let exported = files_below(folder.path());
    for file in [CONTRACT, USERS, CHANGES, USER_SERVICE, RULES] {
        assert!(exported.contains(file), "{exported:?}");
    }
}

#[test]
fn proto_generates_for_cpp_by_protoc() {
    for contract in Contract::both() {
        let grpc = Command::new("which")
            .arg("grpc_cpp_plugin")
            .output()
            .unwrap();
        let plugin = String::from_utf8(grpc.stdout).unwrap();
        assert!(
            grpc.status.success(),
            "grpc_cpp_plugin is missing: run scripts/setup"
        );
        let plugin = format!("--plugin=protoc-gen-grpc={}", plugin.trim());
        let arguments = ["-I", "in", "--cpp_out=out", "--grpc_out=out", &plugin];
        contract.compile(&mut Command::new("protoc"), &arguments);
        let made = files_below(&contract.path("out"));
        for name in ["tag_service.pb.cc", "tag_service.grpc.pb.h"] {
            assert!(made.contains(&format!("ram/tag/v1/{name}")), "{made:?}");
        }
    }
}

#[test]
fn proto_generates_for_python_by_grpc_tools() {
    let sample = Sample::start(&[]);
    for contract in Contract::both() {
        let python = || tool("venv/bin/python");
        let arguments = [
            "-m",
            "grpc_tools.protoc",
            "-I",
            "in",
            "--python_out=out",
            "--grpc_python_out=out",
        ];
        contract.compile(&mut python(), &arguments);
        let program = format!(
            "import grpc\n\
             from ram.tag.v1 import tag_service_pb2 as messages, tag_service_pb2_grpc as services\n\
             service = services.TagServiceStub(grpc.insecure_channel('{}'))\n\
             request = messages.ListTagResourcesRequest(tags=[messages.TagFilter(key='env')])\n\
             print([tag.tag_value for tag in service.ListTagResources(request).tag_resources])\n",
            sample.server.address
        );
        let mut call = python();
        call.current_dir(contract.path("out"))
            .args(["-c", &program]);
        assert_eq!(
            Printed::of(&mut call).success(),
            "['prod', 'test', 'prod']\n"
        );
    }
}

#[test]
fn proto_generates_for_node_by_proto_loader() {
    let sample = Sample::start(&[]);
    for contract in Contract::both() {
        let program = format!(
            "const grpc = require('@grpc/grpc-js');\n\
             const made = require('@grpc/proto-loader').loadSync('{CONTRACT}', {{includeDirs: ['in']}});\n\
             const {{TagService}} = grpc.loadPackageDefinition(made).ram.tag.v1;\n\
             const service = new TagService('{}', grpc.credentials.createInsecure());\n\
             service.listTagResources({{tags: [{{key: 'env'}}]}}, (error, answer) => {{\n\
               if (error) throw error;\n\
               console.log(answer.tagResources.map(tag => tag.tagValue).join());\n\
               service.close();\n\
             }});\n",
            sample.server.address
        );
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/npm/node_modules");
        let mut call = Command::new("node");
        call.current_dir(contract.folder.path())
            .env("NODE_PATH", modules);
        assert_eq!(
            Printed::of(call.args(["-e", &program])).success(),
            "prod,test,prod\n"
        );
    }
}

#[test]
fn proto_generates_for_rust_by_tonic() {
    for contract in Contract::both() {
        let [input, output] = ["in", "out"].map(|name| contract.path(name));
        let files: Vec<_> = contract.files.iter().map(|file| input.join(file)).collect();
        let made = tonic_prost_build::configure()
            .out_dir(&output)
            .compile_protos(&files, &[input]);
        made.unwrap();
        let code = fs::read_to_string(output.join("ram.tag.v1.rs")).unwrap();
        assert_has(
            &code,
            &[
                "pub struct UntagResourcesRequest",
                "pub mod tag_service_client",
            ],
        );
    }
}

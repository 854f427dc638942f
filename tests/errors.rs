//! The full text of the messages users meet.

use wgrad::{chain, nn::*, prelude::*, testing::context};

/// This file's name and the line of the call.
macro_rules! here {
    ($column:literal, $offset:literal) => {
        format!("{}:{}:{}", file!(), line!() - $offset, $column)
    };
}

#[test]
fn shape_mismatch_names_operation_shapes_line_and_layer() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [1, 3, 2, 2]);
    let net = chain![conv(8, 1), relu(), max_pool(2, 2), max_pool(3, 1)].named("features");
    let place = here!(58, 1);
    net.apply(&x);
    let error = graph.check().unwrap_err();
    assert!(error.is_shape());
    assert_eq!(
        error.to_string(),
        format!("max_pool2d: window 3 does not fit 1 with padding 0\n  at {place}\n  in features.3")
    );
}

#[test]
fn the_first_mistake_is_kept_and_the_rest_does_nothing() {
    let graph = Graph::new(Mode::Infer);
    let (a, b) = (graph.input("a", [2, 3]), graph.input("b", [4, 5]));
    let c = graph.scoped("head", || a.matmul(&b));
    let place = here!(39, 1);
    let d = c.relu().softmax(-1).add(&a);
    assert!(d.is_failed());
    let error = graph.plan(&[("d", &d)], context().target()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("matmul: shapes [2, 3] and [4, 5] do not fit: 3 columns meet 4 rows\n  at {place}\n  in head")
    );
}

fn session() -> Session {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input("x", [2, 2]).add(&graph.input("z", [2, 2]));
    let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    Session::new(context(), plan, &weights).unwrap()
}

#[test]
fn unknown_names() {
    let session = session();
    let array = Array::from_f32([2, 2], &[0.0; 4]).unwrap();
    let error = session.write("label", &array).unwrap_err();
    assert!(error.is_name());
    assert_eq!(error.to_string(), "the plan has no input \"label\"; it has x, z");
    assert_eq!(session.output("loss").unwrap_err().to_string(), "the plan has no output \"loss\"; it has y");
}

#[test]
fn wrong_element_type_and_shape_of_an_input() {
    let session = session();
    let error = session.write("x", &Array::from_u32([2, 2], &[0; 4]).unwrap()).unwrap_err();
    assert!(error.is_dtype());
    assert_eq!(error.to_string(), "input \"x\" is f32[2, 2], not u32[2, 2]");
    let error = session.write("x", &Array::from_f32([4], &[0.0; 4]).unwrap()).unwrap_err();
    assert!(error.is_shape());
    assert_eq!(error.to_string(), "input \"x\" is f32[2, 2], not f32[4]");
}

#[test]
fn mixed_element_types() {
    let graph = Graph::new(Mode::Infer);
    let (x, ids) = (graph.input("x", [2]), graph.input_of("ids", [2], DType::U32));
    x.mul(&ids);
    let place = here!(7, 1);
    let error = graph.check().unwrap_err();
    assert!(error.is_dtype());
    assert_eq!(error.to_string(), format!("mul: mixes f32[2] and u32[2]\n  at {place}"));
}

#[test]
fn missing_gradient_names_the_operation() {
    #[derive(Debug)]
    struct Opaque;
    impl wgrad::graph::Op for Opaque {
        fn name(&self) -> &'static str {
            "opaque"
        }
        fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, wgrad::error::Misfit> {
            Ok(inputs.to_vec())
        }
    }
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("w", [3], Init::ones());
    let loss = graph.scoped("head", || graph.apply1(Opaque, &[&w])).sum_all();
    let place = here!(46, 1);
    wgrad::autodiff::gradients(&loss, &[w]);
    let error = graph.check().unwrap_err();
    assert!(error.is_gradient());
    let text = format!(
        "opaque: has no gradient, and the loss needs one through it\n  at {place}\n  in head\n  help: stop the gradient on purpose with detach()"
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_loss_is_one_number() {
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("w", [3], Init::ones());
    wgrad::autodiff::gradients(&w.relu(), std::slice::from_ref(&w));
    let place = here!(5, 1);
    let text = format!(
        "gradients: the loss must be one floating point number, not f32[3]\n  at {place}\n  help: reduce it first, with mean_all() or sum_all()"
    );
    assert_eq!(graph.check().unwrap_err().to_string(), text);
}

#[test]
fn reading_what_was_overwritten_names_both_operations() {
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("w", [3], Init::ones());
    let doubled = &w * 2.0;
    graph.assign(&w, &doubled);
    let written = here!(11, 1);
    let late = w.relu();
    let read = here!(18, 1);
    let error = graph.plan(&[("late", &late)], context().target()).unwrap_err();
    let text = format!(
        "relu: reads a value that assign at {written} has overwritten in place\n  at {read}\n  help: read it before, or read the new value"
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn over_budget() {
    let context = Context::from_wgpu(context().device().clone(), context().queue().clone()).unwrap();
    context.set_budget(1000);
    let graph = Graph::new(Mode::Infer);
    let y = graph.parameter("w", [10, 100], Init::ones()).relu();
    let plan = graph.plan(&[("y", &y)], context.target()).unwrap();
    let error = Weights::init(&context, &plan, 0).unwrap_err();
    assert!(error.is_memory());
    let text = "w: 4000 bytes on top of 0 exceed the budget of 1000 bytes\n  help: use a smaller batch, or raise Context::set_budget";
    assert_eq!(error.to_string(), text);
    assert_eq!(context.allocated(), 0, "a refused buffer is not counted");
}

#[test]
fn no_adapter_names_the_packages() {
    // A process of its own: the driver is found, or not, when the process begins.
    let program = std::env::current_exe().unwrap();
    let nothing = tempfile::NamedTempFile::new().unwrap();
    let output = std::process::Command::new(program)
        .args(["--exact", "errors::opens_a_device", "--include-ignored", "--nocapture"])
        .env("VK_DRIVER_FILES", nothing.path())
        .env("VK_ICD_FILENAMES", nothing.path())
        .env("WGRAD_EXPECT_NO_ADAPTER", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    if cfg!(target_os = "linux") {
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "no GPU adapter found, not even a software one",
            "  help: install a driver:",
            "    Debian, Ubuntu  apt install libvulkan1 mesa-vulkan-drivers",
            "    Fedora          dnf install vulkan-loader mesa-vulkan-drivers",
            "    Arch            pacman -S vulkan-icd-loader vulkan-swrast (or your GPU's vulkan package)",
            "    macOS           Metal is part of macOS 10.14 and later; no package is needed",
            "    Windows         DirectX 12 is part of Windows 10 and later; update the GPU's driver",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} is missing in\n{text}");
        }
    }
}

#[test]
fn opens_a_device() {
    let opened = pollster::block_on(Context::new());
    match std::env::var("WGRAD_EXPECT_NO_ADAPTER") {
        Ok(_) => {
            let error = opened.unwrap_err();
            assert!(error.is_device());
            println!("{error}");
        }
        Err(_) => assert!(opened.is_ok(), "{}", opened.unwrap_err()),
    }
}

#[test]
fn weights_that_lack_a_variable() {
    let graph = Graph::new(Mode::Infer);
    let y = graph.parameter("w", [3], Init::ones()).relu();
    let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
    let other = Graph::new(Mode::Infer);
    let z = other.parameter("v", [3], Init::ones()).relu();
    let weights = Weights::init(context(), &other.plan(&[("z", &z)], context().target()).unwrap(), 0).unwrap();
    let text = "the weights have no \"w\"\n  help: make them with Weights::init(&context, &plan, seed), or add to them with extend(&plan)";
    assert_eq!(Session::new(context(), plan, &weights).unwrap_err().to_string(), text);
}

//! The most a device computes and moves in a second, measured.

use crate::{
    data::{DType, TensorDesc},
    error::{Error, Misfit},
    gpu::Context,
    graph::{Emit, Graph, Io, Mode, Op},
    kernel::{DeviceClass, Dispatch, Kernel, Target},
    session::{Session, Weights},
    shader,
};

/// The fastest a device copies and computes: Williams, Waterman and Patterson's roofline (2009).
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// Bytes read and written a second by a copy of at least 64 MiB.
    pub bytes: f64,
    /// `f32` operations a second of chains of multiply-adds, each counting as two.
    pub flops: f64,
}

/// What a probe does: enough for a device to be busy for a millisecond or more.
#[derive(Clone, Copy, Debug)]
struct Size {
    threads: usize,
    rounds: u64,
    /// Elements, more than caches hold.
    copied: usize,
}

impl Size {
    fn of(target: &Target) -> Size {
        match target.class {
            DeviceClass::Software => Size { threads: 64 << 10, rounds: 512, copied: 16 << 20 },
            DeviceClass::Portable => Size { threads: 256 << 10, rounds: 2048, copied: 32 << 20 },
            DeviceClass::Discrete => Size { threads: 1 << 20, rounds: 4096, copied: 128 << 20 },
        }
    }

    /// Two multiply-adds of four lanes in each round.
    fn flops(self) -> u64 {
        self.threads as u64 * self.rounds * 2 * 4 * 2
    }
}

#[derive(Debug)]
enum Probe {
    MultiplyAdd,
    Copy,
}

impl Op for Probe {
    fn name(&self) -> &'static str {
        "roofline"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(inputs.to_vec())
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let vectors = if target.class.is_software() { 4 } else { 1 };
        let size = Size::of(target);
        let (entry, groups, flops) = match self {
            Probe::MultiplyAdd => ("multiply_add", size.threads / 64, size.flops()),
            Probe::Copy => ("copy", size.copied / 4 / 64 / vectors, 0),
        };
        let kernel = Kernel::new(shader!("roofline"), entry, DType::F32);
        let kernel = kernel.constant("ROUNDS", size.rounds as u32).constant("VECTORS", vectors as u32);
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0));
        out.push(dispatch.groups(groups as u64).cost(flops, io.bytes()));
        Ok(())
    }
}

impl Roofline {
    /// Measures both, each the best of several runs.
    ///
    /// # Errors
    /// Any error of the device.
    pub fn measure(context: &Context) -> Result<Roofline, Error> {
        let least = |probe, elements: usize| -> Result<f64, Error> {
            let graph = Graph::new(Mode::Infer);
            let y = graph.apply1(probe, &[&graph.input("x", [elements])]);
            let plan = graph.plan(&[("y", &y)], context.target())?;
            let session = Session::new(context, plan.clone(), &Weights::init(context, &plan, 0)?)?;
            let mut least = f64::INFINITY;
            for _ in 0..9 {
                least = least.min(session.seconds()?);
            }
            Ok(least)
        };
        let size = Size::of(context.target());
        let flops = size.flops() as f64 / least(Probe::MultiplyAdd, 4 * size.threads)?;
        let bytes = (2 * 4 * size.copied) as f64 / least(Probe::Copy, size.copied)?;
        Ok(Roofline { bytes, flops })
    }

    /// The least time the device could need for so much work.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bytes)
    }

    /// That time as a share of the time it took.
    pub fn share(&self, flops: u64, bytes: u64, seconds: f64) -> f64 {
        self.seconds(flops, bytes) / seconds
    }
}

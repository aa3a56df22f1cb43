//! A compiled program and its runs.

use crate::bands::Stage;
use crate::compile::{Direction, Kernel, Place};
use crate::error::{Error, Result};
use crate::fuse::base_of;
use crate::kernel::conv::ConvShape;
use crate::kernel::fused::{self, Memory};
use crate::kernel::rows::{slice, slice_mut};
use crate::kernel::{alone, conv, random, rows, window};
use evenkeel_graph::op::Window;
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Data, Function, Shape, Tensor};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// One kernel with the values it reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) reads: Vec<usize>,
    pub(crate) writes: Vec<usize>,
    pub(crate) scratch_bytes: usize,
    /// Offset of the scratch in the arena.
    pub(crate) scratch: usize,
}

/// All steps in their order, and how they are taken together.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) steps: Vec<Step>,
    pub(crate) stages: Vec<Stage>,
}

/// The part of a step that one band of samples is.
#[derive(Clone, Copy, Debug)]
struct Part {
    band: usize,
    bands: usize,
}

/// A step as a whole.
const WHOLE: Part = Part { band: 0, bands: 1 };

/// One cache line; the arena is made of them so that every buffer starts on one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A function compiled for its shapes and types, with the memory it runs in.
pub struct Program {
    pub(crate) function: Function,
    donations: Vec<(usize, usize)>,
    pub(crate) steps: Vec<Step>,
    stages: Vec<Stage>,
    places: Vec<Place>,
    copies: Vec<(usize, usize)>,
    arena_bytes: usize,
    /// Made at the first run.
    arena: Vec<Line>,
    /// Scratch for one band; as many as ever ran at once.
    band_scratch: Mutex<Vec<Vec<Line>>>,
}

/// How an input is given to [`Program::run`].
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Read from this tensor.
    Read(&'a Tensor),
    /// It is in the tensor of the output it was donated to.
    Donated,
}

impl Program {
    pub(crate) fn new(
        function: Function,
        donations: Vec<(usize, usize)>,
        schedule: Schedule,
        places: Vec<Place>,
        copies: Vec<(usize, usize)>,
        arena_bytes: usize,
    ) -> Program {
        let Schedule { steps, stages } = schedule;
        let (arena, band_scratch) = (Vec::new(), Mutex::default());
        Program { function, donations, steps, stages, places, copies, arena_bytes, arena, band_scratch }
    }

    /// The function this program computes.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Bytes of the arena all values between inputs and outputs share: the peak of a run, known before it. The first run
    /// allocates it; it is freed with the program.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes.next_multiple_of(size_of::<Line>())
    }

    /// Frees the arena until the next run.
    pub fn release(&mut self) {
        self.arena = Vec::new();
        self.band_scratch = Mutex::default();
    }

    /// For each node of the function, the step that computes it; what is computed inside loops belongs to the first one that
    /// reads it.
    pub(crate) fn step_of_nodes(&self) -> Vec<usize> {
        let nodes = self.function.nodes();
        let mut step_of: Vec<Option<usize>> = vec![None; nodes.len()];
        for (number, step) in self.steps.iter().enumerate() {
            step.writes.iter().for_each(|&value| step_of[value] = Some(number));
        }
        let mut first_reader = step_of.clone();
        for (index, node) in nodes.iter().enumerate().rev() {
            let Some(reader) = first_reader[index] else { continue };
            for input in node.inputs.iter().map(|id| id.index()).filter(|&input| step_of[input].is_none()) {
                first_reader[input] = Some(first_reader[input].map_or(reader, |step| step.min(reader)));
            }
        }
        // What nobody reads is another name of an output.
        first_reader.into_iter().map(|step| step.unwrap_or(self.steps.len())).collect()
    }

    /// How many kernels a run calls.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Tensors of the outputs' shapes and types, all zero. Compiling has made sure that the machine has the memory.
    pub fn new_outputs(&self) -> Vec<Tensor> {
        let node = |(_, id): &(String, evenkeel_graph::NodeId)| &self.function.nodes()[id.index()];
        self.function.outputs().iter().map(|output| Tensor::zeros(&node(output).shape, node(output).dtype)).collect()
    }

    /// Runs the program: reads `inputs`, overwrites `outputs`.
    ///
    /// # Errors
    /// When a tensor is not shaped as compiled, or an input is donated that was not compiled so, or the arena cannot be had any
    /// more. Nothing was written then.
    pub fn run(&mut self, inputs: &[Input<'_>], outputs: &mut [Tensor]) -> Result<()> {
        let memory = self.prepare(inputs, outputs)?;
        for stage in &self.stages {
            if stage.bands == 1 {
                stage.steps.clone().for_each(|step| self.run_step(step, &memory));
            } else {
                self.run_bands(stage, &memory);
            }
        }
        self.finish(&memory);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Takes one band of samples after the other through the steps of a stage.
    fn run_bands(&self, stage: &Stage, memory: &[Memory]) {
        let lines = self.steps[stage.steps.clone()].iter().map(|step| self.band_scratch_bytes(step, stage.bands)).max();
        let lines = lines.unwrap_or(0).div_ceil(size_of::<Line>());
        (0..stage.bands).into_par_iter().with_max_len(1).for_each(|band| {
            let part = Part { band, bands: stage.bands };
            // A poisoned lock only says that another band panicked; what it guards is scratch.
            let pool = || self.band_scratch.lock().unwrap_or_else(PoisonError::into_inner);
            let mut scratch = pool().pop().unwrap_or_default();
            if scratch.len() < lines {
                scratch.resize(lines, Line([0; 64]));
            }
            alone(|| {
                for step in stage.steps.clone() {
                    self.run_part(step, part, memory, Memory(scratch.as_mut_ptr().cast()));
                }
            });
            pool().push(scratch);
        });
        for step in stage.steps.clone() {
            if let Kernel::Loop(nest) = &self.steps[step].kernel {
                let outputs: Vec<Memory> = nest.outputs.iter().map(|output| memory[output.node]).collect();
                // SAFETY: as in `run_part`, and all bands are done.
                unsafe { fused::finish(nest, &outputs, self.scratch_of(step, memory)) };
            }
            if self.sums_bands(step) {
                match self.function.nodes()[self.steps[step].writes[0]].dtype {
                    DType::F32 => self.add_up_bands::<f32>(step, stage.bands, memory),
                    _ => self.add_up_bands::<f64>(step, stage.bands, memory),
                }
            }
        }
    }

    /// Whether the result of a step is the sum of what its bands give.
    fn sums_bands(&self, step: usize) -> bool {
        matches!(self.steps[step].kernel, Kernel::Convolution(Direction::WeightGradient, _))
    }

    /// The stage of a step whose result is the sum of what several bands give: with the same bits, alone or in its stage.
    fn bands_summed_by(&self, step: usize) -> Option<&Stage> {
        let stage = |_| self.stages.iter().find(|stage| stage.steps.contains(&step) && stage.bands > 1);
        self.sums_bands(step).then_some(()).and_then(stage)
    }

    /// Adds up what all bands of a step gave.
    fn add_up_bands<T: kernel_types::Number>(&self, number: usize, bands: usize, memory: &[Memory]) {
        let result = self.steps[number].writes[0];
        let elements = self.function.nodes()[result].shape.elements();
        // SAFETY: the plan gave the step scratch for a result a band, all of which are done, and the result its own memory.
        unsafe {
            let parts = slice::<T>(self.scratch_of(number, memory), elements * bands);
            conv::sum_parts(slice_mut::<T>(memory[result], elements), parts);
        }
    }

    /// Bytes of scratch one band of a step takes beside the arena.
    fn band_scratch_bytes(&self, step: &Step, bands: usize) -> usize {
        match &step.kernel {
            Kernel::Convolution(direction, shape) => {
                let dtype = self.function.nodes()[step.writes[0]].dtype;
                direction.scratch(&ConvShape { batch: shape.batch / bands, ..shape.clone() }, dtype) * dtype.bytes()
            }
            _ => 0,
        }
    }

    /// The scratch of a step in the arena.
    fn scratch_of(&self, step: usize, memory: &[Memory]) -> Memory {
        memory[self.places.len() + self.function.outputs().len() + step]
    }

    /// Checks a call and finds the memory of every value, then of every output, then of every step's scratch.
    pub(crate) fn prepare(&mut self, inputs: &[Input<'_>], outputs: &mut [Tensor]) -> Result<Vec<Memory>> {
        let count =
            |what, expected, got| if expected == got { Ok(()) } else { Err(Error::Count { what, expected, got }) };
        count("inputs", self.function.inputs().len(), inputs.len())?;
        count("outputs", self.function.outputs().len(), outputs.len())?;
        for (index, (info, input)) in self.function.inputs().iter().zip(inputs).enumerate() {
            let donated = self.donations.iter().any(|&(donated, _)| donated == index);
            match input {
                Input::Read(_) if donated => {
                    return Err(Error::Donation { name: info.name.clone(), problem: "must be given in its output" });
                }
                Input::Donated if !donated => {
                    return Err(Error::Donation { name: info.name.clone(), problem: "was not compiled to be donated" });
                }
                Input::Read(tensor) => check_shape(&info.name, &info.shape, info.dtype, tensor)?,
                Input::Donated => {}
            }
        }
        for ((name, id), tensor) in self.function.outputs().iter().zip(&*outputs) {
            let node = &self.function.nodes()[id.index()];
            check_shape(name, &node.shape, node.dtype, tensor)?;
        }
        if self.arena.is_empty() {
            let lines = self.arena_bytes.div_ceil(size_of::<Line>());
            self.arena.try_reserve_exact(lines).map_err(|_| Error::Memory { bytes: self.arena_bytes() })?;
            self.arena.resize(lines, Line([0; 64]));
        }
        let arena = self.arena.as_mut_ptr().cast::<u8>();
        let inputs: Vec<_> = inputs
            .iter()
            .map(|input| match input {
                Input::Read(tensor) => pointer(tensor.data()),
                Input::Donated => std::ptr::null_mut(),
            })
            .collect();
        let outputs: Vec<_> = outputs.iter_mut().map(|tensor| pointer_mut(tensor.data_mut())).collect();
        Ok(self
            .places
            .iter()
            .map(|place| {
                Memory(match place {
                    Place::Input(input) => inputs[*input],
                    Place::Output(output) => outputs[*output],
                    Place::Constant(tensor) => pointer(tensor.data()),
                    // Within the arena, by the plan.
                    Place::Arena(offset) => arena.wrapping_add(*offset),
                    Place::None => std::ptr::null_mut(),
                })
            })
            .chain(outputs.iter().map(|&output| Memory(output)))
            // Within the arena, by the plan.
            .chain(self.steps.iter().map(|step| Memory(arena.wrapping_add(step.scratch))))
            .collect())
    }

    pub(crate) fn run_step(&self, number: usize, memory: &[Memory]) {
        let scratch = self.scratch_of(number, memory);
        if let Kernel::Loop(nest) = &self.steps[number].kernel {
            let leaves: Vec<Memory> = nest.leaves.iter().map(|leaf| memory[leaf.node]).collect();
            let outputs: Vec<Memory> = nest.outputs.iter().map(|output| memory[output.node]).collect();
            // SAFETY: the plan gave every value memory of its shape and type, kept what is read apart from what is
            // written (or marked the store as deferred), and the scratch apart from both.
            unsafe { fused::run(nest, &leaves, &outputs, scratch) };
        } else if let Some(stage) = self.bands_summed_by(number) {
            self.run_bands(&Stage { steps: number..number + 1, bands: stage.bands }, memory);
        } else {
            self.run_part(number, WHOLE, memory, scratch);
        }
    }

    /// Runs the part of a step that one band is; `scratch` is for kernels that are not loops.
    fn run_part(&self, number: usize, part: Part, memory: &[Memory], scratch: Memory) {
        let step = &self.steps[number];
        let dtype = self.function.nodes()[step.writes[0]].dtype;
        match &step.kernel {
            Kernel::Loop(nest) => {
                let leaves: Vec<Memory> = nest.leaves.iter().map(|leaf| memory[leaf.node]).collect();
                let outputs: Vec<Memory> = nest.outputs.iter().map(|output| memory[output.node]).collect();
                // SAFETY: as in `run_step`; the loop is cut into as many chunks as there are bands, and what this stage
                // writes elsewhere is read at the samples of this band only.
                unsafe { fused::run_chunk(nest, &leaves, &outputs, self.scratch_of(number, memory), part.band) };
            }
            Kernel::Move(_) => match dtype.bytes() {
                1 => self.run_movement::<u8>(number, memory),
                4 => self.run_movement::<u32>(number, memory),
                _ => self.run_movement::<u64>(number, memory),
            },
            Kernel::ArgMax { .. } | Kernel::WindowArgMax(_) => {
                match self.function.nodes()[self.operand(number, 0)].dtype {
                    DType::F32 => self.run_opaque::<f32>(number, part, memory, scratch),
                    _ => self.run_opaque::<f64>(number, part, memory, scratch),
                }
            }
            _ if dtype == DType::F32 => self.run_opaque::<f32>(number, part, memory, scratch),
            _ => self.run_opaque::<f64>(number, part, memory, scratch),
        }
    }

    /// The node a step reads first, as it was traced (not the memory's owner).
    fn operand(&self, step: usize, place: usize) -> usize {
        let node = &self.function.nodes()[self.steps[step].writes[0]];
        node.inputs[place].index()
    }

    /// Moves elements as the bits they are, of one type's width; all bits zero is zero in every type.
    fn run_movement<E: Copy + Default + Send + Sync>(&self, number: usize, memory: &[Memory]) {
        let step = &self.steps[number];
        let elements = |value: usize| self.function.nodes()[value].shape.elements();
        // SAFETY: the plan gave every value memory of its shape and of this width, apart from all others alive now.
        let read = |place: usize| unsafe { slice::<E>(memory[step.reads[place]], elements(step.reads[place])) };
        // SAFETY: as above; only called for indices, which are i32.
        let indices = |place: usize| unsafe { slice::<i32>(memory[step.reads[place]], elements(step.reads[place])) };
        let result = step.writes[0];
        // SAFETY: as above.
        let y = unsafe { slice_mut::<E>(memory[result], elements(result)) };
        if let Kernel::Move(movement) = &step.kernel {
            movement.run(read, indices, E::default(), y);
        }
    }

    fn run_opaque<T: kernel_types::Number>(&self, number: usize, part: Part, memory: &[Memory], scratch: Memory) {
        let step = &self.steps[number];
        let Part { band, bands } = part;
        // The memory and the elements of a value, or of the samples of this band.
        let whole = |value: usize| (memory[value], self.function.nodes()[value].shape.elements());
        let cut = |value: usize| {
            let (memory, elements) = whole(value);
            let bytes = elements / bands * self.function.nodes()[value].dtype.bytes();
            (Memory(memory.pointer::<u8>().wrapping_add(band * bytes)), elements / bands)
        };
        let samples = |batch: usize| batch / bands;
        // SAFETY: the plan gave every value memory of its shape and type, apart from all others alive at this step.
        let read = |place: usize| unsafe { slice::<T>(cut(step.reads[place]).0, cut(step.reads[place]).1) };
        // SAFETY: as above.
        let read_whole = |place: usize| unsafe { slice::<T>(whole(step.reads[place]).0, whole(step.reads[place]).1) };
        // SAFETY: as above; keys, taps and indices are i32 by construction.
        let integers = |place: usize| unsafe { slice::<i32>(cut(step.reads[place]).0, cut(step.reads[place]).1) };
        let (target, elements) = if bands > 1 && self.sums_bands(number) {
            let (_, elements) = whole(step.writes[0]);
            let offset = band * elements * size_of::<T>();
            (Memory(self.scratch_of(number, memory).pointer::<u8>().wrapping_add(offset)), elements)
        } else {
            cut(step.writes[0])
        };
        // SAFETY: as above; each kernel calls exactly one of the two, and bands are disjoint.
        let write = || unsafe { slice_mut::<T>(target, elements) };
        // SAFETY: as above.
        let write_positions = || unsafe { slice_mut::<i32>(target, elements) };
        let window = |window: &Window| {
            let [batch, height, width, channels] = window.input;
            Window { input: [samples(batch), height, width, channels], ..window.clone() }
        };
        match &step.kernel {
            Kernel::Loop(_) | Kernel::Move(_) => {}
            Kernel::ScatterAdd(geometry) => geometry.add(read(0), integers(1), write()),
            Kernel::Random(distribution) => {
                // Tracing has checked that a key has four words.
                if let Ok(words) = integers(0).try_into() {
                    random::fill(*distribution, Key::from_words(words), write());
                }
            }
            Kernel::MatMul(product) => {
                // SAFETY: as above.
                let scratch = unsafe { slice_mut::<T>(scratch, product.scratch_elements(size_of::<T>())) };
                product.run(read(0), read(1), write(), scratch);
            }
            Kernel::Convolution(direction, shape) => {
                let shape = ConvShape { batch: samples(shape.batch), ..shape.clone() };
                // SAFETY: as above; a band's scratch is as large as its shape needs.
                let scratch = unsafe { slice_mut::<T>(scratch, direction.scratch(&shape, T::DTYPE)) };
                match direction {
                    Direction::Forward => conv::forward(&shape, read(0), read_whole(1), write(), scratch),
                    Direction::InputGradient => conv::input_gradient(&shape, read(0), read_whole(1), write(), scratch),
                    Direction::WeightGradient => conv::weight_gradient(&shape, read(0), read(1), write(), scratch),
                }
            }
            Kernel::LogSumExp { columns } => rows::log_sum_exp(read(0), *columns, write()),
            Kernel::ArgMax { columns } => rows::argmax(read(0), *columns, write_positions()),
            Kernel::WindowSum(geometry) => window::sum(&window(geometry), read(0), write()),
            Kernel::WindowSpread(geometry) => window::spread(&window(geometry), read(0), write()),
            Kernel::WindowArgMax(geometry) => window::argmax(&window(geometry), read(0), write_positions()),
            Kernel::WindowTake(geometry) => window::take(&window(geometry), read(0), integers(1), write()),
            Kernel::WindowPut(geometry) => window::put(&window(geometry), read(0), integers(1), write()),
        }
    }

    /// Copies what could not be computed where the caller wants it. All is read before anything is written: an output may
    /// hold a donated input that another output wants.
    pub(crate) fn finish(&mut self, memory: &[Memory]) {
        let nodes = self.function.nodes();
        let read = |&(value, output): &(usize, usize)| {
            let bytes = nodes[value].shape.elements() * nodes[value].dtype.bytes();
            // SAFETY: the value's memory holds its bytes, and nobody writes them now.
            (output, unsafe { slice::<u8>(memory[value], bytes) }.to_vec())
        };
        let copies: Vec<(usize, Vec<u8>)> = self.copies.iter().map(read).collect();
        for (output, bytes) in copies {
            // SAFETY: the output's memory has the value's size, and no slice of it is alive.
            unsafe { slice_mut::<u8>(memory[nodes.len() + output], bytes.len()) }.copy_from_slice(&bytes);
        }
    }

    /// The value's memory as f64, for inspection.
    pub(crate) fn read_value(&self, value: usize, memory: &[Memory]) -> Vec<f64> {
        let node = &self.function.nodes()[value];
        let value = memory[base_of(self.function.nodes(), value)];
        let count = node.shape.elements();
        // SAFETY: the plan gave the value memory of its shape and type, and its step has run.
        unsafe {
            match node.dtype {
                DType::F32 => slice::<f32>(value, count).iter().map(|&x| f64::from(x)).collect(),
                DType::F64 => slice::<f64>(value, count).to_vec(),
                DType::I32 | DType::Bool => vec![],
            }
        }
    }
}

mod kernel_types {
    /// The types opaque kernels come in.
    pub(crate) trait Number: crate::kernel::real::Real + crate::kernel::conv::Real {}
    impl Number for f32 {}
    impl Number for f64 {}
}

fn check_shape(name: &str, shape: &Shape, dtype: DType, tensor: &Tensor) -> Result<()> {
    if tensor.shape() == shape && tensor.dtype() == dtype {
        return Ok(());
    }
    Err(Error::Shape {
        name: name.to_string(),
        expected: shape.clone(),
        expected_dtype: dtype,
        got: tensor.shape().clone(),
        got_dtype: tensor.dtype(),
    })
}

fn pointer(data: &Data) -> *mut u8 {
    match data {
        Data::F32(elements) => elements.as_ptr().cast_mut().cast(),
        Data::F64(elements) => elements.as_ptr().cast_mut().cast(),
        Data::I32(elements) => elements.as_ptr().cast_mut().cast(),
        Data::Bool(elements) => elements.as_ptr().cast_mut().cast(),
    }
}

fn pointer_mut(data: &mut Data) -> *mut u8 {
    match data {
        Data::F32(elements) => elements.as_mut_ptr().cast(),
        Data::F64(elements) => elements.as_mut_ptr().cast(),
        Data::I32(elements) => elements.as_mut_ptr().cast(),
        Data::Bool(elements) => elements.as_mut_ptr().cast(),
    }
}

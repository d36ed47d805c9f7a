//! The stages as the device runs them.

use super::{GpuError, Stage};

/// The four bindings of `shaders/common/bindings.wgsl`.
pub(super) fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("stages"),
        entries: &[
            entry(0, wgpu::BufferBindingType::Uniform, true),
            entry(1, storage(true), false),
            entry(2, storage(true), false),
            entry(3, storage(false), false),
        ],
    })
}

pub(super) async fn build_pipelines(device: &wgpu::Device, layout: &wgpu::BindGroupLayout) -> Result<Vec<wgpu::ComputePipeline>, GpuError> {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("stages"),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let mut pipelines = Vec::with_capacity(Stage::ALL.len());
    for stage in Stage::ALL {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(stage.name()),
            source: wgpu::ShaderSource::Wgsl(stage.source().into()),
        });
        pipelines.push(device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(stage.name()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        }));
        if let Some(error) = scope.pop().await {
            return Err(GpuError::Pipeline { stage: stage.name(), reason: error.to_string() });
        }
    }
    Ok(pipelines)
}

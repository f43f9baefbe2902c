//! The limits that `create`, `run` and `update` share.

use engine::containers::options::parse;
use oci::runtime_spec::{BlockIo, Cpu, Memory, Pids, Resources};
use stdx::{Error, Result};

#[derive(clap::Args, Debug)]
pub(crate) struct LimitArgs {
    /// Block IO weight, between 10 and 1000, or 0 to leave it
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Period of the CPU limit, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Period of the real-time CPU limit, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,
    /// Real-time CPU time in each period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// CPUs in which to run (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Limit of kernel memory (ignored where the kernel has dropped it)
    #[arg(long, value_name = "BYTES")]
    kernel_memory: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together: -1 for unlimited swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Limit of processes and threads (-1 for unlimited)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
}

impl LimitArgs {
    /// What was given; what was not stays absent.
    pub(crate) fn resources(&self) -> Result<Resources> {
        Ok(Resources {
            cpu: self.cpu()?,
            memory: self.memory()?,
            pids: self.pids_limit.filter(|&limit| limit != 0).map(|limit| Pids { limit: Some(limit) }),
            block_io: self.block_io_weight()?.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
            ..Resources::default()
        })
    }

    /// `--cpus`, in billionths of a CPU.
    pub(crate) fn nano_cpus(&self) -> Result<Option<i64>> {
        self.cpus.as_deref().map(parse::cpus).transpose()
    }

    /// Shares, quota, period and sets.
    fn cpu(&self) -> Result<Option<Cpu>> {
        let (period, quota) = (self.cpu_period.filter(|&n| n != 0), self.cpu_quota.filter(|&n| n != 0));
        if let Some(period) = period.filter(|period| !(1000..=1_000_000).contains(period)) {
            return Err(Error::invalid(format!(
                "the CPU period {period} must be between 1000 (1 ms) and 1000000 (1 s)"
            )));
        }
        if let Some(quota) = quota.filter(|&quota| quota > 0 && quota < 1000) {
            return Err(Error::invalid(format!("the CPU quota {quota} must be at least 1000 (1 ms)")));
        }
        if self.cpus.is_some() && (period.is_some() || quota.is_some()) {
            return Err(Error::invalid("conflicting options: --cpus and --cpu-period or --cpu-quota"));
        }
        let cpu = Cpu {
            shares: self.cpu_shares,
            quota,
            period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: self.cpuset_cpus.clone(),
            mems: self.cpuset_mems.clone(),
            ..Cpu::default()
        };
        Ok((cpu != Cpu::default()).then_some(cpu))
    }

    /// The memory limits alone, without a rule for those not given.
    pub(crate) fn memory(&self) -> Result<Option<Memory>> {
        let size = |option: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| parse::bytes_or_unlimited(option, text))
                .transpose()
                .map(|size| size.filter(|&size| size != 0))
        };
        let memory = Memory {
            limit: size("memory", &self.memory)?,
            reservation: size("memory-reservation", &self.memory_reservation)?,
            swap: size("memory-swap", &self.memory_swap)?,
            kernel: size("kernel-memory", &self.kernel_memory)?,
            ..Memory::default()
        };
        Ok((memory != Memory::default()).then_some(memory))
    }

    /// 10 to 1000.
    pub(crate) fn block_io_weight(&self) -> Result<Option<u16>> {
        let weight = self.blkio_weight.filter(|&weight| weight != 0);
        match weight.filter(|weight| !(10..=1000).contains(weight)) {
            Some(weight) => Err(Error::invalid(format!("the block IO weight {weight} must be between 10 and 1000"))),
            None => Ok(weight),
        }
    }
}

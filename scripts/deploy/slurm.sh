#!/usr/bin/env bash
# One run over N Slurm tasks. From a folder that all nodes see, where vipbench is built:
#
#   array=$(sbatch --parsable --array=1-4 scripts/deploy/slurm.sh scenarios/default.toml)
#   export SHARDS=4 OUT=runs/slurm-$array VIPBENCH=target/release/vipbench
#   sbatch --dependency=afterok:$array --wrap=scripts/deploy/merge
#
# N is the number in --array. Each task runs two guests at a time, which is what the two CPUs are for. Nodes need no rights
# and no KVM, but the same packages: else `merge` refuses, and says what differs.
#SBATCH --job-name=vipbench
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=04:00:00
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:-.}"
export SHARDS=${SLURM_ARRAY_TASK_COUNT:?start this as an array: sbatch --array=1-N}
export OUT=${OUT:-runs/slurm-${SLURM_ARRAY_JOB_ID:?start this as an array: sbatch --array=1-N}}
export VIPBENCH=${VIPBENCH:-target/release/vipbench}
exec scripts/deploy/shard "$@" --jobs "${SLURM_CPUS_PER_TASK:-2}"

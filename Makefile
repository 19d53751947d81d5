# Every target is one line of Python; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
SEED   ?= kinetics
OUT    ?= out/$(notdir $(basename $(SEED)))
# A benchmark's name and folder are one target set, beside those that TARGETS names.
comma := ,
benchmark = $(if $(NAME)$(ROOT),$(NAME):$(ROOT))
targets = $(TARGETS)$(if $(TARGETS),$(if $(benchmark),$(comma)))$(benchmark)
STAGES := expand match targets fetch deduplicate label split shard

# A misspelt variable would be ignored without a word, and the default taken.
VARIABLES := BEAM_ARGS CATALOG CHECKPOINT CONFIG DATA GPUS IDS LABELS N NAME OUT PYTHON RETRY ROOT RUNNER \
	SEED SET SUBSET TARGET TARGETS VENV VERDICTS WEIGHTS
unknown := $(foreach name,$(filter-out $(VARIABLES) SHELL -%,$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(name)))
$(if $(strip $(unknown)),$(error no such variable: $(strip $(unknown)); there are $(VARIABLES)))
# OUT as given; what removes things guesses no folder.
given_out = $(if $(filter file,$(origin OUT)),$(error $@ needs OUT=FOLDER),$(OUT))
needed = $(or $($1),$(error $@ needs $1=$2))

job = --seed "$(SEED)" --out "$(OUT)" \
	$(if $(CATALOG),--catalog "$(CATALOG)") $(if $(targets),--targets "$(targets)") \
	$(if $(CONFIG),--config "$(CONFIG)") $(if $(RUNNER),--runner "$(RUNNER)") \
	$(if $(RETRY),--retry "$(RETRY)") \
	$(foreach word,$(SET),--set "$(word)") $(if $(BEAM_ARGS),-- $(BEAM_ARGS))

.PHONY: help install sample dataset preflight $(STAGES) verify takedown overlap dedup-eval audit report train linear finetune bench test trials lint

help: ## list the targets
	@grep -hE '^[a-z |$$()A-Z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/; s/^$$(STAGES)/STAGE/' | expand -t 14

install: $(VENV)/.dataset ## own virtual environment with all that the dataset stages need

dataset: install ## labels -> shards, report and card   [SEED CATALOG TARGETS OUT CONFIG SET RETRY RUNNER BEAM_ARGS]
	@$(BIN)/python -m pipelines dataset $(job)

preflight: install ## fetch a sample, forecast yield, bytes and time   [SEED CATALOG OUT CONFIG SET N]
	@$(BIN)/python -m pipelines preflight $(if $(N),--rows "$(N)") $(job)

sample: install ## render the built-in sample world
	@$(BIN)/python -m pipelines sample

$(STAGES): install ## run one stage, by its name (expand, match ...); same variables as dataset   [targets: NAME ROOT]
	@$(BIN)/python -m pipelines $@ $(job)

verify: install ## re-read every shard, stored video and table   [OUT SUBSET=n/t]
	@$(BIN)/python -m pipelines verify --out "$(OUT)" $(if $(SUBSET),--subset "$(SUBSET)")

takedown: install ## remove videos and keep them out for ever   [OUT IDS]
	@$(BIN)/python -m pipelines takedown --out "$(given_out)" --ids "$(call needed,IDS,FILE)"

overlap: install ## how much of a target's label lists the labels cover   [OUT LABELS]
	@$(BIN)/python -m pipelines overlap --out "$(OUT)" $(foreach word,$(call needed,LABELS,"NAME_OR_FILE ..."),"$(word)")

dedup-eval: install ## re-edit N targets in 37 ways: how many would be found   [OUT TARGETS SET N]
	@$(BIN)/python -m pipelines dedup-eval $(if $(N),--videos "$(N)") $(job)

audit: install ## a page to judge removed videos by eye; with VERDICTS, their precision   [OUT N VERDICTS]
	@$(BIN)/python -m pipelines audit --out "$(OUT)" $(if $(N),--pairs "$(N)") $(if $(VERDICTS),--verdicts "$(VERDICTS)")

report: install ## write the HTML page, the plots and the dataset card   [OUT SET]
	@$(BIN)/python -m pipelines report --out "$(OUT)" $(foreach word,$(SET),--set "$(word)")

DATA ?= out/$(notdir $(basename $(SEED)))
train_out = $(if $(filter command line,$(origin OUT)),$(OUT),$(DATA)/training)
train_config = $(or $(CONFIG),sample)
train_set = $(foreach word,$(SET),--set "$(word)")
train_with = $(if $(GPUS),-m training.launch "$(GPUS)",-m training)
train: $(VENV)/.train ## pre-train, then compare with random initialisation   [DATA OUT CONFIG SET GPUS WEIGHTS]
	@$(BIN)/python $(train_with) train $(if $(WEIGHTS),--weights "$(WEIGHTS)") --data "$(DATA)" --out "$(train_out)" --config "$(train_config)" $(train_set)

transfer_from = $(if $(WEIGHTS),--weights "$(WEIGHTS)",$(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)"))
transfer_to = $(if $(TARGET),$(foreach word,$(TARGET),--target "$(word)"),--data "$(DATA)")
linear finetune: $(VENV)/.train ## fc-only or full-ft on all targets of DATA, or on TARGET   [DATA TARGET OUT CHECKPOINT WEIGHTS CONFIG SET GPUS]
	@$(BIN)/python $(train_with) $@ $(transfer_to) $(transfer_from) --out "$(train_out)" $(if $(CONFIG),--config "$(CONFIG)") $(train_set)

bench: $(VENV)/.train ## clips/s of the loader, the network and both   [DATA CONFIG SET N]
	@$(BIN)/python -m training bench --data "$(DATA)" --config "$(train_config)" $(if $(N),--steps "$(N)") $(train_set)

# Two processes share the files; begun last, these would keep one of them waiting.
LONGEST_FIRST := tests/test_readme.py tests/test_end_to_end.py
DOCTESTS := labelspace dedup formats training
test: $(VENV)/.dev ## everything that CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy labelspace dedup formats pipelines training
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(LONGEST_FIRST) tests $(DOCTESTS)

trials: $(VENV)/.dev ## the long trials: hostile servers, hostile media, kills, full disks (needs strace; some need root)
	$(BIN)/python -m pytest -m trial tests/trials

$(VENV)/.dataset: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11)' || { echo "Tagreel needs Python 3.11 or newer (set PYTHON=...)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once; about a minute)"
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.train: $(VENV)/.dataset
	@echo "Installing torch into $(VENV) (once)"
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

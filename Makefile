# Each target does all its set-up in .venv; nothing has to be run before it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

COUNT ?= 100000

.PHONY: demo test lint docs fuzz clean

demo: $(READY)
	mkdir -p build
	$(BIN)/rnp sanitize examples/digits/model.pt --clean-dir examples/digits/clean \
		--output build/digits.sanitized.safetensors --force
	$(BIN)/python examples/digits/measure_attack.py \
		examples/digits/model.pt build/digits.sanitized.safetensors

# Two processes of one thread: what most tests compute is too small for more.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages of the commands, from their code.
docs: $(READY)
	$(BIN)/python docs/make.py

# Mutated model files through the reader; some minutes.
fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz_reader.py --count $(COUNT)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv build *.egg-info

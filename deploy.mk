# What leads from a clone to a service on AWS. `make deploy` is all; the rest are its steps.
# each in an environment of its own: their pins exclude one another and ours
SAM_VENV := .make/sam
CHECKOV_VENV := .make/checkov
SAM := PATH="$(CURDIR)/$(SAM_VENV)/bin:$$PATH" $(SAM_VENV)/bin/sam
STAGE ?= default
# FLAGS=--no-cached builds from nothing
FLAGS ?=

.PHONY: build lint-template image deploy sam-local

$(SAM_VENV)/.ready: requirements/sam.txt
	@scripts/tool_environment.sh "$(PYTHON)" $(SAM_VENV) $<
	@touch $@

$(CHECKOV_VENV)/.ready: requirements/checkov.txt
	@scripts/tool_environment.sh "$(PYTHON)" $(CHECKOV_VENV) $<
	@touch $@

build: $(SAM_VENV)/.ready ## build the functions and their layers (sam build)
	$(SAM) build --config-env $(STAGE) $(filter-out --skip-pull-image,$(FLAGS))

lint-template: $(SAM_VENV)/.ready $(CHECKOV_VENV)/.ready ## sam validate, cfn-lint and checkov on template.yaml
	$(SAM) validate --lint --region us-east-1
	$(SAM_VENV)/bin/cfn-lint --regions us-east-1 --template template.yaml
	$(CHECKOV_VENV)/bin/checkov --file template.yaml --framework cloudformation --quiet --compact --skip-download

image: $(READY) ## build the task's image, push it to ECR, print its digest
	@$(PY) scripts/task_image.py

deploy: $(READY) build ## from a clone to printed URLs; STAGE=dev or prod, GUIDED=1 asks
	@PATH="$(CURDIR)/$(SAM_VENV)/bin:$$PATH" $(PY) scripts/deploy.py --stage $(STAGE) $(if $(GUIDED),--guided)

EVENTS ?=
sam-local: $(READY) build ## sam local invoke on sample events (needs Docker); FLAGS=--skip-pull-image
	@$(PY) -m tests.support.sam_local $(filter --skip-pull-image,$(FLAGS)) $(EVENTS)

"""The stages *fit*, *correct* and *diagnose*: NiMARE, its Monte Carlo steps on compiled kernels."""

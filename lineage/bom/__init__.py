"""What a model version was made of, as a CycloneDX bill of materials."""

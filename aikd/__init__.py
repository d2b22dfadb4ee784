"""AI-KD, reproduced: adversarial learning and implicit regularization for self-knowledge distillation."""
